"""Checkouts: every one that becomes active ends, an exclusive identity is held once, and no secret in it."""

import asyncio
from typing import Any

import pytest

from definitions.errors import Conflict, NotPermitted
from definitions.lifecycles.checkout import CheckoutStatus
from definitions.permissions import SYSTEM
from store import audit, checkout_lists, checkouts
from store.checkouts import Requested, Wanted
from store.connection import Tx
from tasks import rotation
from tests.store.workflows.test_vaults_and_identities import save_identity, save_vault


@pytest.fixture
async def instance(org: Any) -> int:
    """A started instance of ana's, and an identity that anybody may use at once."""
    await save_vault(org)
    await save_identity(org)
    await org.publish([{"id": "wait", "type": "delay", "seconds": 1}])
    return int((await org.start("deploy")).id)


async def ask(org: Any, instance: int, visit: int = 1, **more: Any) -> Requested:
    async with org.db.transaction() as tx:
        return await checkouts.request(tx, Wanted(instance, "out", visit, "db_admin", **more))


async def status(org: Any, checkout: Requested) -> str:
    return str(await org.db.fetchval("SELECT status FROM checkouts WHERE id = $1", checkout.id))


async def check_in(org: Any, checkout: Requested) -> bool:
    async with org.db.transaction() as tx:
        return await checkouts.check_in(tx, SYSTEM, checkout.id, "Done.")


async def test_one_that_needs_no_approval_is_active_at_once_for_as_long_as_it_may(
    org: Any, instance: int
) -> None:
    first = await ask(org, instance, minutes=10_000, reason="look at it")
    assert (first.status, first.needs_approval) == (CheckoutStatus.ACTIVE, False)
    assert (await ask(org, instance)).id == first.id
    minutes = "SELECT extract(epoch FROM deadline - active_at) / 60 FROM checkouts WHERE id = $1"
    assert await org.db.fetchval(minutes, first.id) == 60
    assert await check_in(org, first)
    assert not await check_in(org, first)
    rows = await org.db.fetch("SELECT action, detail FROM audit WHERE subject_kind = 'checkout' ORDER BY id")
    assert [row["action"] for row in rows] == ["checkout.request", "checkout.active", "checkout.ended"]
    assert {(row["detail"]["person"], row["detail"]["asked_because"]) for row in rows} == {
        ("ana", "look at it")
    }


async def test_it_waits_for_its_approval_and_a_refusal_ends_it(org: Any, instance: int) -> None:
    await save_identity(org, requires_approval=True, approval={"approvers": ["role:approver"]})
    given, denied = await ask(org, instance), await ask(org, instance, 2)
    assert (given.status, given.needs_approval) == (CheckoutStatus.REQUESTED, True)
    async with org.db.transaction() as tx:
        await checkouts.approve(tx, given.id)
        await checkouts.refuse(tx, denied.id, CheckoutStatus.DENIED, "Rejected.")
        await checkouts.refuse(tx, given.id, CheckoutStatus.FAILED, "Too late.")
    assert (await status(org, given), await status(org, denied)) == ("active", "denied")


async def test_ten_at_once_get_an_exclusive_identity_one_after_another(org: Any, instance: int) -> None:
    await save_identity(org, exclusive=True)
    all_of_them = await asyncio.gather(*(ask(org, instance, visit) for visit in range(1, 11)))
    served: list[int] = []
    for _ in all_of_them:
        active = await org.db.fetch("SELECT id FROM checkouts WHERE status = 'active'")
        assert len(active) == 1
        served.append(active[0]["id"])
        async with org.db.transaction() as tx:
            await checkouts.check_in(tx, SYSTEM, served[-1], "Done.")
    assert served == sorted(one.id for one in all_of_them)


async def test_made_exclusive_while_it_is_held_it_is_for_one_when_all_have_given_it_back(
    org: Any, instance: int
) -> None:
    held = [await ask(org, instance, visit) for visit in (1, 2)]
    await save_identity(org, exclusive=True)
    waiting = [await ask(org, instance, visit) for visit in (3, 4)]
    for each in held:
        assert [await status(org, one) for one in waiting] == ["requested", "requested"]
        await check_in(org, each)
    assert [await status(org, one) for one in waiting] == ["active", "requested"]


async def test_one_that_asked_before_it_was_made_exclusive_comes_in_alone(org: Any, instance: int) -> None:
    rule = {"requires_approval": True, "approval": {"approvers": ["role:approver"]}}
    await save_identity(org, **rule)
    first, second = await ask(org, instance), await ask(org, instance, 2)
    await save_identity(org, exclusive=True, **rule)
    async with org.db.transaction() as tx:
        for each in (first, second):
            await checkouts.approve(tx, each.id)
    assert (await status(org, first), await status(org, second)) == ("active", "requested")


async def test_made_exclusive_no_more_it_stays_with_who_has_it_alone_until_they_give_it_back(
    org: Any, instance: int
) -> None:
    await save_identity(org, exclusive=True)
    alone, before = await ask(org, instance), await ask(org, instance, 2)
    await save_identity(org)
    after = await ask(org, instance, 3)
    assert (await status(org, before), await status(org, after)) == ("requested", "requested")
    await check_in(org, alone)
    assert (await status(org, before), await status(org, after)) == ("active", "active")


async def test_one_that_waits_for_approval_holds_up_nobody(org: Any, instance: int) -> None:
    approval = {"approvers": ["role:approver"]}
    await save_identity(org, exclusive=True, requires_approval=True, approval=approval)
    slow, quick = await ask(org, instance), await ask(org, instance, 2)
    async with org.db.transaction() as tx:
        await checkouts.approve(tx, quick.id)
    assert (await status(org, slow), await status(org, quick)) == ("requested", "active")


async def test_its_time_ends_it_and_lets_the_next_in(org: Any, instance: int) -> None:
    await save_identity(org, exclusive=True)
    first, second = await ask(org, instance), await ask(org, instance, 2)
    assert await checkouts.end_overdue(org.db) == 0
    await org.db.execute("UPDATE checkouts SET deadline = now() WHERE id = $1", first.id)
    before = await org.db.fetchval("SELECT wake_seq FROM instances WHERE id = $1", instance)
    assert await checkouts.end_overdue(org.db) == 1
    assert await checkouts.tell(org.db) == 2
    assert await checkouts.tell(org.db) == 0
    assert (await status(org, first), await status(org, second)) == ("ended", "active")
    assert await org.db.fetchval("SELECT wake_seq FROM instances WHERE id = $1", instance) > before


async def test_what_an_instance_holds_and_asks_for_ends_with_it(org: Any, instance: int) -> None:
    await save_identity(org, exclusive=True)
    held, asked = await ask(org, instance), await ask(org, instance, 2)

    async def end(tx: Tx) -> int:
        await tx.execute(
            "UPDATE instances SET status = 'cancelled', ended_at = now() WHERE id = $1", instance
        )
        return await checkouts.end_of_instance(tx, instance, "The instance is cancelled.")

    async with org.db.transaction() as tx:
        assert await end(tx) == 2
    assert {await status(org, one) for one in (held, asked)} == {"ended"}


async def test_an_identity_is_for_those_it_names(org: Any, instance: int) -> None:
    await save_identity(org, used_by=["user:bo"])
    with pytest.raises(NotPermitted, match="is for user:bo"):
        await ask(org, instance)
    assert await org.db.fetchval("SELECT count(*) FROM checkouts") == 0


async def test_a_person_with_the_permission_ends_one(org: Any, instance: int) -> None:
    one = await ask(org, instance)
    with pytest.raises(NotPermitted):
        await checkouts.end_by_hand(org.db, org.ana, one.id)
    await checkouts.end_by_hand(org.db, SYSTEM, one.id)
    with pytest.raises(Conflict, match="has ended already"):
        await checkouts.end_by_hand(org.db, SYSTEM, one.id)


async def test_lists_say_who_holds_what_why_and_how_it_ended(org: Any, instance: int) -> None:
    one, other = await ask(org, instance, reason="look at it"), await ask(org, instance, 2)
    await check_in(org, one)
    with pytest.raises(NotPermitted):
        await checkout_lists.listing(org.db, org.ana)
    active = await checkout_lists.listing(org.db, SYSTEM, status=[CheckoutStatus.ACTIVE])
    assert [row.id for row in active.items] == [other.id]
    of_it = await checkout_lists.listing(org.db, SYSTEM, identity="db_admin", instance=instance, limit=1)
    assert ([row.id for row in of_it.items], of_it.next) == ([other.id], str(other.id))
    assert (await checkout_lists.listing(org.db, SYSTEM, identity="nobody")).items == []
    shown = await checkout_lists.show(org.db, SYSTEM, one.id)
    assert (shown.person, shown.reason, shown.end_reason) == ("ana", "look at it", "Done.")


async def test_its_trail_has_what_became_of_it_and_of_its_identity_for_it(org: Any, instance: int) -> None:
    one, other = await ask(org, instance), await ask(org, instance, 2)
    identity = await org.db.fetchval("SELECT id FROM identities")
    async with org.db.transaction() as tx:
        for checkout, host in ((one, "web-1"), (other, "web-2")):
            about = {"checkout": checkout.id, "host": host}
            await audit.record(tx, SYSTEM, "credential.read", "identity", identity, **about)
    await check_in(org, one)
    trail = (await checkout_lists.show(org.db, SYSTEM, one.id)).trail
    assert [row.action for row in trail] == [
        "checkout.request",
        "checkout.active",
        "credential.read",
        "checkout.ended",
    ]
    assert trail[2].detail["host"] == "web-1"


async def test_what_is_checked_out_is_not_rotated_under_its_holder(org: Any, instance: int) -> None:
    await ask(org, instance)
    with pytest.raises(Conflict, match="is checked out"):
        await rotation.rotate(org.db, SYSTEM, "db_admin")
