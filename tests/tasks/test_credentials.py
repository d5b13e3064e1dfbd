"""A credential is read from a real vault in a few seconds, or the reason is told: no poll waits longer."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from store.job_credentials import NotRead
from tasks import vault as tasks_vault
from tasks.credentials import read_credential
from tests.live.vault import LiveVault
from tests.tasks.test_vault import Answering, identity, vault_at
from tests.tasks.test_vault import answering as answering
from tests.tasks.test_vault import token as token


async def test_it_is_read_as_it_stands_in_the_vault_now(vault: LiveVault):
    secret_id = f"file:{vault.bao.secret_id_file}"
    known = vault_at(vault.bao.address, method="approle", role_id="opsgate", secret_id=secret_id)
    asked = identity("kv_ssh_key", "secret/c1/key")
    for text in ("the first", "the second"):
        vault.put("c1/key", private_key=text, passphrase="words")
        found = await read_credential(known, asked)
        assert (found.secret, found.passphrase) == (text, "words")
    with pytest.raises(NotRead, match="nothing at that path") as refused:
        await read_credential(known, identity("kv_password", "secret/c1/none"))
    assert not refused.value.may_pass


async def test_sealed_slow_gone_and_a_secret_that_is_missing_may_pass(
    answering: Callable[..., Answering], token: str
):
    asked = identity("kv_password", "secret/x")
    addresses = [
        f"http://127.0.0.1:{answering(**behaviour).server_port}"
        for behaviour in ({"status": 503}, {"slow": 1.0})
    ]
    for address, secret in [(addresses[0], token), (addresses[1], token), ("http://127.0.0.1:9", token),
                            (addresses[0], "env:NOT_THERE")]:  # fmt: skip
        with pytest.raises(NotRead) as refused:
            await read_credential(vault_at(address, method="token", token=secret), asked, 0.3)
        assert refused.value.may_pass


async def test_many_calls_of_a_silent_vault_keep_no_other_waiting(vault: LiveVault, token: str):
    silent = socket.create_server(("127.0.0.1", 0), backlog=100)
    address = f"http://127.0.0.1:{silent.getsockname()[1]}"
    waits, asked = vault_at(address, method="token", token=token), identity("kv_password", "secret/c2/deploy")
    waiting = [asyncio.create_task(read_credential(waits, asked, 60.0)) for _ in range(100)]
    await asyncio.sleep(0)
    assert tasks_vault._busy[asyncio.get_running_loop()][address].locked()
    vault.put("c2/deploy", password="correct horse")
    secret_id = f"file:{vault.bao.secret_id_file}"
    known = vault_at(vault.bao.address, method="approle", role_id="opsgate", secret_id=secret_id)
    assert (await read_credential(known, asked)).secret == "correct horse"
    assert not any(task.done() for task in waiting)
    silent.close()
    found: list[Any] = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(each) for each in found} == {NotRead}
