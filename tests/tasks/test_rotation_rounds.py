"""Rotations of several identities, in real vaults: one of a vault that hangs, one whose version is pruned."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from definitions.permissions import SYSTEM
from store import identities
from store.connection import Database
from store.identities import IDENTITIES
from store.sealing import SealingKeys
from store.vaults import VAULTS
from tasks.rotation import advance
from tasks.rotation_rounds import AT_ONCE, RotationRounds
from tests.live.vault import LiveVault
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


async def test_a_password_whose_version_is_pruned_is_set_on_its_host_again(
    healthy: LiveVault, db: Database
) -> None:
    await db.execute("INSERT INTO hosts (name, os) VALUES ('web-1', 'linux')")
    db.keys = SealingKeys([bytes(32)])
    healthy.put("r2/deploy", password="first one")
    number = await due(db, "kv_password", "secret/r2/deploy", host="web-1")

    async def step() -> None:
        """Jobs end well, pauses pass."""
        for job in await db.fetch("SELECT id FROM jobs WHERE status = 'queued'"):
            await ends(db, job["id"], "completed")
        await db.execute("UPDATE identities SET rotation_not_before = now()")
        assert await advance(db, number)

    await step()
    version, found = healthy.secret("r2/deploy")
    healthy.put("r2/deploy", **found, note="of somebody else")
    pruned = healthy.ask("PUT", "/secret/destroy/r2/deploy", {"versions": [version]})
    assert pruned.status_code in (200, 204), pruned.text
    for _ in range(3):  # the vault refuses, a second job, and that is settled
        await step()
    assert healthy.secret("r2/deploy")[1] == {
        "password": found["pending_password"],
        "note": "of somebody else",
    }
    assert await db.fetchval("SELECT rotated_at IS NOT NULL FROM identities")
    assert await db.fetchval("SELECT count(*) FROM jobs") == 2
