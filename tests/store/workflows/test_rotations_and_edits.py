"""Rotations whose identity is edited meanwhile: nothing is noted of another, a quarantine ends."""

import asyncio
from typing import Any

import pytest

from definitions.errors import Conflict, Unavailable
from definitions.permissions import SYSTEM
from definitions.rotation import PAUSES
from store import jobs, rotations
from store.sealing import SealingKeys
from tasks.rotation import advance
from tests.live.facts import blocked
from tests.store.workflows.test_checkouts import ask, check_in, status
from tests.store.workflows.test_checkouts import instance as instance
from tests.store.workflows.test_rotations import ACCOUNT, ends, fail, its_turn, trail, view
from tests.store.workflows.test_vaults_and_identities import save_identity

KEYS = SealingKeys([bytes(32)])
NOT_ROTATED = {**ACCOUNT, "host": None, "rotate_after_use": False}


async def used(org: Any, instance: int, **identity: Any) -> None:
    await save_identity(org, **identity)
    await check_in(org, await ask(org, instance))


async def dispatched(org: Any) -> int:
    async with await its_turn(org) as turn:
        return await rotations.dispatch(turn, KEYS, 7, "next one")


async def test_an_account_does_not_move_while_a_job_sets_its_password(org: Any, instance: int) -> None:
    await used(org, instance, **ACCOUNT)
    job = await dispatched(org)
    said = rf"rotated, by job {job} on web-1: `path`, `host` can't change before that is done"
    with pytest.raises(Conflict, match=said):
        await save_identity(org, **{**ACCOUNT, "host": "web-2", "path": "secret/other"})
    await ends(org.db, job, "completed")
    with pytest.raises(Conflict, match=said):
        await save_identity(org, **{**ACCOUNT, "host": "web-2", "path": "secret/other"})
    await save_identity(org, **ACCOUNT, exclusive=True)
    async with await its_turn(org) as turn:
        await rotations.done(turn)
    await save_identity(org, **{**ACCOUNT, "host": "web-2"})


async def test_what_a_deleted_job_has_set_is_forgotten_and_the_rotation_begins_anew(
    org: Any, instance: int
) -> None:
    await used(org, instance, **ACCOUNT)
    job = await dispatched(org)
    await ends(org.db, job, "completed")
    await jobs.delete(org.db, SYSTEM, job)
    await save_identity(org, **{**ACCOUNT, "host": "web-2"})
    async with await its_turn(org) as turn:
        assert (turn.job, turn.identity.host) == (None, "web-2")


async def test_no_job_is_made_for_the_host_it_named_before(org: Any, instance: int) -> None:
    await used(org, instance, **ACCOUNT)
    async with await its_turn(org) as turn:
        await save_identity(org, **{**ACCOUNT, "host": "web-2"})
        with pytest.raises(Unavailable, match="has another `host` than when its rotation began"):
            await rotations.dispatch(turn, KEYS, 7, "next one")
    assert await org.db.fetchval("SELECT count(*) FROM jobs WHERE type = 'user_control'") == 0


async def test_a_new_password_of_the_role_it_named_before_is_none_of_its_own(org: Any, instance: int) -> None:
    await used(org, instance, rotate_after_use=True)
    async with await its_turn(org) as turn:
        await save_identity(org, rotate_after_use=True, path="database/other")
        with pytest.raises(Unavailable, match="another `path`"):
            await rotations.done(turn)
    assert (await view(org)).rotated_at is None


async def test_what_failed_of_a_version_that_is_over_quarantines_nobody(org: Any, instance: int) -> None:
    await used(org, instance, rotate_after_use=True)
    await fail(org, len(PAUSES))
    await org.db.execute("UPDATE identities SET rotation_not_before = now()")
    async with await its_turn(org) as turn:
        await save_identity(org, rotate_after_use=True, path="database/other")
        await rotations.failed(turn, "There is nothing at that path.")
    assert (await view(org)).quarantined_at is None
    async with await its_turn(org) as turn:
        assert turn.identity.path == "database/other"


async def test_a_quarantined_one_that_is_saved_anew_is_tried_once_more(org: Any, instance: int) -> None:
    await used(org, instance, rotate_after_use=True)
    await fail(org, len(PAUSES) + 1)
    assert not await rotations.due(org.db)
    await save_identity(org, rotate_after_use=True, path="database/other")
    await fail(org, 1)
    assert not await rotations.due(org.db)
    await save_identity(org, rotate_after_use=True, path="database/right")
    async with await its_turn(org) as turn:
        await rotations.done(turn)
    assert (await view(org)).quarantined_at is None


async def test_one_whose_save_began_before_it_was_quarantined_is_tried_once_more(
    org: Any, instance: int
) -> None:
    await used(org, instance, rotate_after_use=True)
    await fail(org, len(PAUSES))
    await org.db.execute("UPDATE identities SET rotation_not_before = now()")
    async with await its_turn(org) as turn:
        async with org.db.transaction() as tx:  # whoever waits for this lock gets it in the order of coming
            await tx.execute("SELECT FROM identities FOR UPDATE")
            failing = asyncio.create_task(rotations.failed(turn, "There is nothing at that path."))
            await blocked(org.db, failing)
            saving = asyncio.create_task(save_identity(org, rotate_after_use=True, path="database/right"))
            await blocked(org.db, failing, saving)
        await asyncio.gather(failing, saving)
    assert (await view(org)).quarantined_at is not None
    async with await its_turn(org) as turn:
        assert turn.identity.path == "database/right"


async def test_one_that_opsgate_does_not_rotate_any_more_is_in_no_quarantine(org: Any, instance: int) -> None:
    await used(org, instance, **ACCOUNT)
    await fail(org, len(PAUSES) + 1)
    with pytest.raises(Conflict, match="is quarantined"):
        await ask(org, instance, 2)
    await save_identity(org, **NOT_ROTATED)
    with pytest.raises(Conflict, match="can't be rotated"):
        await rotations.ask(org.db, SYSTEM, "db_admin")
    (number,) = await rotations.due(org.db)
    assert await advance(org.db, number)
    assert (await view(org)).quarantined_at is None
    assert (await trail(org))[-2:] == ["identity.save", "identity.quarantine_lifted"]
    assert (await ask(org, instance, 3)).status == "active"
    assert not await rotations.due(org.db)


async def test_one_that_opsgate_does_not_rotate_any_more_is_not_waited_for(org: Any, instance: int) -> None:
    await used(org, instance, **ACCOUNT)
    waiting = await ask(org, instance, 2)
    await save_identity(org, **NOT_ROTATED)
    (number,) = await rotations.due(org.db)
    assert await advance(org.db, number)
    assert await status(org, waiting) == "active"
    assert (await trail(org))[-1] == "identity.rotation_called_off"


async def test_what_a_host_may_have_set_is_not_called_off(org: Any, instance: int) -> None:
    await save_identity(org, **ACCOUNT)
    asked = await rotations.ask(org.db, SYSTEM, "db_admin")
    await ends(org.db, await dispatched(org), "failed")
    await fail(org, 1)
    assert not await rotations.call_off(org.db, asked)
    await org.db.execute("UPDATE identities SET rotation_not_before = now()")
    assert await rotations.is_due(org.db, asked.identity_id)


async def test_what_no_host_has_begun_is_called_off(org: Any, instance: int) -> None:
    await save_identity(org, **ACCOUNT)
    asked = await rotations.ask(org.db, SYSTEM, "db_admin")
    await ends(org.db, await dispatched(org), "failed", started=False)
    await fail(org, 1)
    assert await rotations.call_off(org.db, asked)
    assert not await rotations.due(org.db)


async def test_a_job_that_nobody_began_does_not_make_the_one_before_forgotten(
    org: Any, instance: int
) -> None:
    await save_identity(org, **ACCOUNT)
    asked = await rotations.ask(org.db, SYSTEM, "db_admin")
    first = await dispatched(org)
    await ends(org.db, first, "completed")
    await jobs.delete(org.db, SYSTEM, first)
    await ends(org.db, await dispatched(org), "failed", started=False)
    await fail(org, 1)
    assert not await rotations.call_off(org.db, asked)
