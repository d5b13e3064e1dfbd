"""Rotations in real vaults: beside one that hangs, after an agent died, when a version is pruned."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from definitions.errors import Unavailable
from definitions.permissions import SYSTEM
from store import identities, rotations
from store.connection import Database
from store.identities import IDENTITIES
from store.sealing import SealingKeys
from store.vaults import VAULTS
from tasks import rotation
from tasks.rotation_rounds import AT_ONCE, RotationRounds
from tests.live.vault import LiveVault
from tests.store.jobs.conftest import FakeAgent
from tests.store.workflows.test_rotations import ends
from tests.tasks.test_vault import identity, vault_at


@pytest.fixture
async def healthy(vault: LiveVault, db: Database) -> LiveVault:
    """The vault that identities of this test lie in, unless they say otherwise."""
    secret_id = f"file:{vault.bao.secret_id_file}"
    made = vault_at(vault.bao.address, method="approle", role_id="opsgate", secret_id=secret_id)
    await VAULTS.put(db, SYSTEM, made)
    return vault


async def due(db: Database, source: str, path: str, username: str = "deploy", **more: Any) -> int:
    """An identity that was used."""
    asked = identity(source, path, username).model_copy(update=more)
    number = (await IDENTITIES.put(db, SYSTEM, asked))[0].id
    async with db.transaction() as tx:
        assert await identities.mark_for_rotation(tx, number, "It was used.")
    return number


async def step(db: Database) -> None:
    """Jobs end well, pauses pass."""
    for job in await db.fetch("SELECT id FROM jobs WHERE status = 'queued'"):
        await ends(db, job["id"], "completed")
    await db.execute("UPDATE identities SET rotation_not_before = now()")
    (number,) = await rotations.due(db)
    assert await rotation.advance(db, number)


async def test_a_vault_that_hangs_holds_up_no_other(healthy: LiveVault, db: Database, tmp_path: Path) -> None:
    await healthy.static_role("app_r1")
    token = tmp_path / "token"
    token.write_text("hvs.word")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it is connected to, and never answers
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        hanging = vault_at(address, method="token", token=f"file:{token}")
        await VAULTS.put(db, SYSTEM, hanging.model_copy(update={"name": "hanging"}))
        for number in range(AT_ONCE + 1):
            await due(db, "database_static", "database/x", name=f"hung_{number}", vault="hanging")
        async with RotationRounds(db) as rounds:
            assert await rounds.begin() == AT_ONCE + 1
            one = await due(db, "database_static", "database/app_r1", "app_r1")
            assert await rounds.begin() == 1
            async with asyncio.timeout(60):
                while await db.fetchval("SELECT rotated_at FROM identities WHERE id = $1", one) is None:
                    await asyncio.sleep(0.05)
            assert await db.fetchval("SELECT count(rotation_failed_at) FROM identities") == 0
            assert await rounds.begin() == 0


async def test_what_an_agent_may_have_set_before_it_died_is_set_again(
    healthy: LiveVault, db: Database, enrolled: Callable[[str], Awaitable[FakeAgent]]
) -> None:
    agent, db.keys = await enrolled("web-1"), SealingKeys([bytes(32)])
    healthy.put("r3/deploy", password="first one")
    asked = identity("kv_password", "secret/r3/deploy", host="web-1")
    await IDENTITIES.put(db, SYSTEM, asked)
    asking = asyncio.create_task(rotation.rotate(db, SYSTEM, "it"))
    async with asyncio.timeout(60):
        while not (claimed := (await agent.poll()).jobs):
            await asyncio.sleep(0.05)
    await agent.start(claimed[0].job_id)
    await agent.complete(claimed[0].job_id, outcome="interrupted", exit_code=None)
    with pytest.raises(
        Unavailable, match=r"It is tried again; until it has worked nobody can check it out\."
    ):
        await asking
    pending = healthy.secret("r3/deploy")[1]["pending_password"]
    for _ in range(2):
        await step(db)
    assert healthy.secret("r3/deploy") == (3, {"password": pending})


async def test_a_password_whose_version_is_pruned_is_set_on_its_host_again(
    healthy: LiveVault, db: Database
) -> None:
    await db.execute("INSERT INTO hosts (name, os) VALUES ('web-1', 'linux')")
    db.keys = SealingKeys([bytes(32)])
    healthy.put("r2/deploy", password="first one")
    await due(db, "kv_password", "secret/r2/deploy", host="web-1")
    await step(db)
    version, found = healthy.secret("r2/deploy")
    healthy.put("r2/deploy", **found, note="of somebody else")
    pruned = healthy.ask("PUT", "/secret/destroy/r2/deploy", {"versions": [version]})
    assert pruned.status_code in (200, 204), pruned.text
    for _ in range(3):  # the vault refuses, a second job, and that is settled
        await step(db)
    assert healthy.secret("r2/deploy")[1] == {
        "password": found["pending_password"],
        "note": "of somebody else",
    }
    assert await db.fetchval("SELECT rotated_at IS NOT NULL FROM identities")
    assert await db.fetchval("SELECT count(*) FROM jobs") == 2
