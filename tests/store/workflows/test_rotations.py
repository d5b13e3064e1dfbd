"""Rotations: due after use, begun when nobody holds the identity, tried again, then quarantined. No vault."""

from typing import Any

import pytest

from definitions.errors import Conflict, NotPermitted
from definitions.lifecycles.checkout import CheckoutStatus
from definitions.permissions import SYSTEM
from definitions.rotation import PAUSES
from store import checkouts, hosts, identities, jobs, rotations
from store.connection import Database
from store.identities import IDENTITIES, IdentityView
from store.rotations import Turn
from store.sealing import SealingKeys
from tests.store.workflows.test_checkouts import ask, check_in, status
from tests.store.workflows.test_checkouts import instance as instance
from tests.store.workflows.test_vaults_and_identities import save_identity, save_vault

ACCOUNT = {
    "source": "kv_password", "path": "secret/web/deploy", "username": "deploy", "host": "web-1",
    "rotate_after_use": True,
}  # fmt: skip


async def view(org: Any) -> IdentityView:
    found = await IDENTITIES.show(org.db, SYSTEM, "db_admin")
    assert isinstance(found, IdentityView)
    return found


async def trail(org: Any) -> list[str]:
    """What the audit trail has of identities."""
    rows = await org.db.fetch("SELECT action FROM audit WHERE subject_kind = 'identity' ORDER BY id")
    return [row["action"] for row in rows]


async def its_turn(org: Any) -> Any:
    """The turn of the one identity that is due."""
    (number,) = await rotations.due(org.db)
    assert await rotations.is_due(org.db, number)
    return rotations.turn(org.db, number)


async def ends(db: Database, job: int, status: str, *, started: bool = True) -> None:
    """As its agent says, or its deadline: however a job may end."""
    for passed in ("pending", "running") if started else ():
        await db.execute("UPDATE jobs SET status = $2, started_at = now() WHERE id = $1", job, passed)
    await db.execute("UPDATE jobs SET status = $2, ended_at = now() WHERE id = $1", job, status)


async def fail(org: Any, times: int) -> None:
    """Its vault is sealed, so often in a row; time passes in between."""
    for _ in range(times):
        await org.db.execute("UPDATE identities SET rotation_not_before = now()")
        async with await its_turn(org) as turn:
            await rotations.failed(turn, "The vault main is sealed.")


async def test_a_use_makes_it_due_and_a_request_that_was_never_given_does_not(
    org: Any, instance: int
) -> None:
    approval = {"approvers": ["role:approver"]}
    await save_identity(org, rotate_after_use=True, requires_approval=True, approval=approval)
    denied, used = await ask(org, instance), await ask(org, instance, 2)
    async with org.db.transaction() as tx:
        await checkouts.refuse(tx, denied.id, CheckoutStatus.DENIED, "No.")
        await checkouts.approve(tx, used.id)
    assert (await view(org)).rotation_due_at is None
    await check_in(org, used)
    after = await view(org)
    assert after.rotation_due_at is not None
    assert after.rotation_reason == f"It was used by checkout {used.id}."


async def test_without_the_wish_a_use_changes_nothing(org: Any, instance: int) -> None:
    await check_in(org, await ask(org, instance))
    assert (await view(org)).rotation_due_at is None


async def test_it_waits_for_the_other_holders_and_nobody_new_gets_it_before_it_is_done(
    org: Any, instance: int
) -> None:
    await save_identity(org, rotate_after_use=True)
    first, other = await ask(org, instance), await ask(org, instance, 2)
    await check_in(org, first)
    late = await ask(org, instance, 3)
    assert late.status == CheckoutStatus.REQUESTED
    assert not await rotations.due(org.db)
    await check_in(org, other)
    assert await status(org, late) == "requested"
    async with await its_turn(org) as turn:
        await rotations.done(turn)
    assert await status(org, late) == "active"
    assert (await view(org)).rotated_at is not None
    # What its holder had is over when it comes back, like every use of it.
    await check_in(org, late)
    assert len(await rotations.due(org.db)) == 1


async def test_only_one_at_a_time_rotates_it(org: Any, instance: int) -> None:
    await save_identity(org, rotate_after_use=True)
    await check_in(org, await ask(org, instance))
    (number,) = await rotations.due(org.db)
    async with rotations.turn(org.db, number) as mine, rotations.turn(org.db, number) as theirs:
        assert isinstance(mine, Turn)
        assert theirs is None
    async with rotations.turn(org.db, number) as again:
        assert again is not None


async def test_who_has_lost_the_lock_notes_nothing_any_more(org: Any, instance: int) -> None:
    await save_identity(org, rotate_after_use=True)
    await check_in(org, await ask(org, instance))
    (number,) = await rotations.due(org.db)
    async with rotations.turn(org.db, number) as lost:
        session = await lost.session.fetchval("SELECT pg_backend_pid()")
        await org.db.execute("SELECT pg_terminate_backend($1, 10000)", session)
        async with rotations.turn(org.db, number) as next_one:
            assert next_one is not None
            with pytest.raises(Exception, match="connection"):
                await rotations.done(lost)
    assert (await view(org)).rotation_due_at is not None


async def test_it_is_tried_again_after_growing_pauses(org: Any, instance: int) -> None:
    await save_identity(org, rotate_after_use=True)
    await check_in(org, await ask(org, instance))
    waited = "SELECT extract(epoch FROM rotation_not_before - now()) FROM identities"
    for pause in PAUSES[:3]:
        await fail(org, 1)
        assert not await rotations.due(org.db)
        assert pause - 60 < await org.db.fetchval(waited) <= pause
    assert (await view(org)).rotation_error == "The vault main is sealed."
    assert (await view(org)).quarantined_at is None


async def test_what_can_not_be_rotated_is_quarantined_and_whoever_wants_it_is_told_why(
    org: Any, instance: int
) -> None:
    await save_identity(org, rotate_after_use=True)
    await check_in(org, await ask(org, instance))
    waiting = await ask(org, instance, 2)
    await fail(org, len(PAUSES))
    assert await status(org, waiting) == "requested"
    await fail(org, 1)
    assert not await rotations.due(org.db)
    reason = await org.db.fetchval("SELECT end_reason FROM checkouts WHERE id = $1", waiting.id)
    assert (await status(org, waiting), "db_admin is quarantined until it is rotated" in reason) == (
        "failed",
        True,
    )
    with pytest.raises(Conflict, match=r"could not be replaced: The vault main is sealed\."):
        await ask(org, instance, 3)
    shown, (listed,) = await view(org), (await IDENTITIES.listing(org.db, SYSTEM)).items
    assert shown.quarantined_at is not None
    assert shown.quarantine_reason == "The vault main is sealed."
    assert listed.quarantined_at == shown.quarantined_at
    assert (await trail(org))[-2:] == ["identity.rotate_failed", "identity.quarantine"]
    assert await org.db.fetchval("SELECT payload FROM outbox WHERE kind = 'notice'") == {
        "event": "identity.quarantined",
        "subject_id": shown.id,
    }


async def test_a_rotation_that_a_person_asks_for_lifts_the_quarantine_if_it_works(
    org: Any, instance: int
) -> None:
    await save_identity(org, rotate_after_use=True)
    await check_in(org, await ask(org, instance))
    await fail(org, len(PAUSES) + 1)
    with pytest.raises(NotPermitted):
        await rotations.ask(org.db, org.ana, "db_admin")
    await rotations.ask(org.db, SYSTEM, "db_admin")
    await fail(org, 1)  # it does not work yet, and is not tried by itself
    assert (await view(org)).quarantined_at is not None
    assert not await rotations.due(org.db)
    await rotations.ask(org.db, SYSTEM, "db_admin")
    async with await its_turn(org) as turn:
        await rotations.done(turn)
    assert (await view(org)).quarantined_at is None
    assert (await ask(org, instance, 2)).status == CheckoutStatus.ACTIVE
    assert await org.db.fetchval("SELECT count(*) FROM outbox WHERE kind = 'notice'") == 1


async def test_what_only_a_person_asked_for_and_failed_at_once_ends_in_no_quarantine(org: Any) -> None:
    await save_vault(org)
    await save_identity(org)
    asked = await rotations.ask(org.db, SYSTEM, "db_admin")
    await fail(org, 1)
    assert await rotations.call_off(org.db, asked)
    assert (await view(org)).rotation_due_at is None
    assert (await trail(org))[-2:] == ["identity.rotate_failed", "identity.rotation_called_off"]


async def test_what_a_use_has_made_due_is_not_called_off(org: Any, instance: int) -> None:
    await save_identity(org, rotate_after_use=True)
    await check_in(org, await ask(org, instance))
    asked = await rotations.ask(org.db, SYSTEM, "db_admin")
    assert (await trail(org))[-1] == "identity.rotation_asked"
    await fail(org, 1)
    assert not await rotations.call_off(org.db, asked)


async def test_a_key_is_not_marked_for_what_nobody_can_do(org: Any, instance: int) -> None:
    number = await save_identity(org, source="kv_ssh_key", path="secret/key")
    async with org.db.transaction() as tx:
        assert not await identities.mark_for_rotation(tx, number, "A job printed it.")
    with pytest.raises(Conflict, match="can't be rotated: A key is replaced where"):
        await rotations.ask(org.db, SYSTEM, "db_admin")


async def test_a_job_that_failed_to_set_a_password_can_not_set_it_later_by_hand(
    org: Any, instance: int
) -> None:
    await save_identity(org, **ACCOUNT)
    await check_in(org, await ask(org, instance))
    async with await its_turn(org) as turn:
        job = await rotations.dispatch(turn, SealingKeys([bytes(32)]), 7, "next one")
    assert not await rotations.due(org.db)
    await ends(org.db, job, "failed", started=False)
    async with await its_turn(org) as turn:
        assert (turn.job.status, turn.job.version) == ("failed", 7)
        await rotations.failed(turn, "It failed.")
    with pytest.raises(Conflict, match=r"secret values of job \d+ are erased"):
        await jobs.retry(org.db, SYSTEM, job)


async def test_a_host_that_is_gone_is_said_in_words(org: Any, instance: int) -> None:
    await save_identity(org, **ACCOUNT)
    await check_in(org, await ask(org, instance))
    await hosts.decommission(org.db, SYSTEM, "web-1")
    async with await its_turn(org) as turn:
        with pytest.raises(Exception, match="There is no host web-1"):
            await rotations.dispatch(turn, SealingKeys([bytes(32)]), 1, "next one")
