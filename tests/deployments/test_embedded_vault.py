"""The embedded vault: on loopback, itself again after every end, and narrow towards Opsgate."""

import asyncio
import json
import os
import signal
import stat
from pathlib import Path

import pytest

from definitions.errors import Unavailable
from deployments.stack.data_folder import DataFolder, write_private
from deployments.stack.postgres import Postgres
from deployments.stack.processes import Processes
from tests.deployments.test_embedded_postgres import ask
from tests.live.vault import LiveVault, running_vault


async def killed(vault: LiveVault, part: str) -> None:
    """End a part the hard way, and wait until the stack has started it again."""
    before = vault.processes.pid(part)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    async with asyncio.timeout(30):
        while vault.processes.pid(part) in (None, before):
            await asyncio.sleep(0.05)


async def test_a_data_folder_from_before_gets_one(tmp_path: Path):
    folder = DataFolder(tmp_path / "data")
    write_private(folder.path / "ports.json", json.dumps({"web": 1, "prefect": 2}))
    processes, postgres = Processes(), Postgres(folder)
    try:
        await postgres.start(processes)
        await ask(postgres.url("postgres"), "DROP DATABASE openbao")
        await ask(postgres.url("postgres"), "DROP ROLE openbao")
    finally:
        await processes.stop()
    async with running_vault(folder.path) as vault:
        assert vault.answers()


async def test_what_is_in_it_outlives_a_stop_and_the_death_of_itself_and_of_its_database(tmp_path: Path):
    async with running_vault(tmp_path / "data") as vault:
        vault.put("web-1/deploy", password="correct")
    async with running_vault(tmp_path / "data") as vault:
        for part in ("vault", "postgres"):
            await killed(vault, part)
            await vault.until_it_answers()
            async with asyncio.timeout(30):  # its connections to the old database fail once each
                while True:
                    found = vault.ask("GET", "/secret/data/web-1/deploy")
                    if found.status_code == 200:
                        break
                    await asyncio.sleep(0.1)
            assert found.json()["data"]["data"] == {"password": "correct"}, part


def test_opsgate_reads_and_replaces_credentials_and_may_do_nothing_else(vault: LiveVault):
    vault.put("narrow/deploy", password="correct")
    token = vault.signed_in()

    def status(method: str, path: str, body: object = None) -> int:
        return vault.ask(method, path, body, token=token).status_code

    assert status("GET", "/secret/data/narrow/deploy") == 200
    assert status("POST", "/secret/data/narrow/deploy", {"data": {"password": "next"}}) == 200
    refused = [
        ("LIST", "/secret/metadata/"),
        ("DELETE", "/secret/metadata/narrow/deploy"),
        ("GET", "/sys/mounts"),
        ("POST", "/database/config/main"),
        ("POST", "/auth/approle/role/opsgate/secret-id"),
        ("POST", "/auth/token/create"),
    ]
    assert {(*each, status(*each)) for each in refused} == {(*each, 403) for each in refused}


def test_it_listens_on_loopback_and_its_keys_are_the_owners_alone(vault: LiveVault):
    pid = vault.processes.pid("vault")
    sockets = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            address, state, inode = (line.split()[index] for index in (1, 3, 9))
            if state == "0A" and f"socket:[{inode}]" in sockets:
                listening.add(address)
    assert listening == {f"0100007F:{int(vault.bao.address.rpartition(':')[2]):04X}"}
    kept = [*(vault.folder.path / "secrets").iterdir(), *(vault.folder.path / "vault").iterdir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}
    root = vault.bao.root_token_file.read_bytes()
    for place in ("cmdline", "environ"):
        assert root not in Path(f"/proc/{pid}/{place}").read_bytes()


async def test_a_first_start_that_was_interrupted_is_begun_again(tmp_path: Path):
    async with running_vault(tmp_path / "data") as vault:
        # What is there when it is killed between the vault's answer and the writing of it.
        vault.folder.keep_secret("openbao-root-token", "")
    async with running_vault(tmp_path / "data") as vault:
        vault.put("web-1/deploy", password="correct")
        assert vault.ask("GET", "/secret/data/web-1/deploy", token=vault.signed_in()).status_code == 200


async def test_without_its_key_it_says_so_instead_of_making_another(tmp_path: Path):
    async with running_vault(tmp_path / "data") as vault:
        key = vault.folder.path / "secrets" / "openbao-key"
        key.unlink()
    with pytest.raises(Unavailable, match="put secrets/openbao-key back"):
        async with running_vault(tmp_path / "data"):
            pass
    assert not key.exists()
