"""Approval requests: opened once, expired by the database's clock, withdrawn."""

from typing import Any

import pytest

from definitions.errors import Conflict
from definitions.permissions import SYSTEM
from definitions.quorum import digest
from store import approval_reach, approvals, instances, users
from tests.store.workflows.conftest import person


async def expired(org: Any, request_id: int) -> None:
    await org.db.execute(
        "UPDATE approval_requests SET deadline = clock_timestamp() WHERE id = $1", request_id
    )


async def test_a_step_that_opens_its_gate_again_finds_its_request(org: Any) -> None:
    request = await org.gated()
    instance = await instances.show(org.db, org.ana, request.instance_id)
    assert (await org.open_gate(instance)).id == request.id


async def test_after_the_deadline_nobody_votes_even_before_the_keeper_came(org: Any) -> None:
    request = await org.gated(timeout_minutes=1)
    await expired(org, request.id)
    with pytest.raises(Conflict, match="deadline"):
        await approvals.vote(org.db, org.bo, request.id, "approve", "", request.digest)


async def test_a_part_of_a_minute_counts(org: Any) -> None:
    request = await org.gated(timeout_minutes=0.75)
    seconds = "SELECT extract(epoch FROM deadline - created_at) FROM approval_requests WHERE id = $1"
    assert 45 <= await org.db.fetchval(seconds, request.id) < 60


async def test_the_keeper_expires_what_is_due_and_wakes_its_instance(org: Any) -> None:
    request = await org.gated(timeout_minutes=1)
    assert await approvals.expire_due(org.db) == 0
    await expired(org, request.id)
    seq = await org.db.fetchval("SELECT wake_seq FROM instances WHERE id = $1", request.instance_id)
    assert await approvals.expire_due(org.db) == 1
    assert await approvals.expire_due(org.db) == 0
    view = await approvals.show(org.db, org.bo, request.id)
    assert view.status == "expired"
    assert "deadline" in view.sentence
    after = await org.db.fetchval("SELECT wake_seq FROM instances WHERE id = $1", request.instance_id)
    assert after == seq + 1


async def test_withdrawing_ends_the_open_requests_of_an_instance_only(org: Any) -> None:
    mine, other = await org.gated(), await org.gated(approval_type="two_of_many")
    async with org.db.transaction() as tx:
        assert await approvals.withdraw_all(tx, mine.instance_id, "No longer wanted.") == 1
    assert (await approvals.show(org.db, SYSTEM, mine.id)).sentence == "No longer wanted."
    assert (await approvals.show(org.db, SYSTEM, other.id)).status == "pending"
    with pytest.raises(Conflict, match="withdrawn"):
        await approvals.vote(org.db, org.bo, mine.id, "approve", "", mine.digest)


async def test_a_gate_nobody_is_left_for_is_refused_when_it_opens(org: Any) -> None:
    gate = {"id": "gate", "type": "approval", "approvers": ["user:bo"]}
    instance = await org.start(await org.publish([gate]))
    await org.db.execute("UPDATE users SET disabled_at = now() WHERE id = $1", org.bo.id)
    with pytest.raises(Conflict, match="Nobody could decide"):
        await org.open_gate(instance)
    assert await org.db.fetchval("SELECT count(*) FROM approval_requests") == 0


async def test_a_person_named_in_every_way_there_is_counts_once(org: Any) -> None:
    named = ["role:approver", "user:bo", "bo", "BO@example.org", str(org.bo.id), f"user:{org.cy.id}"]
    request = await org.gated(approvers=named, approval_type="majority")
    assert [person.name for person in request.eligible] == ["bo", "cy", "di"]
    assert request.quorum == 2


@pytest.mark.parametrize(
    ("gate", "quorum"),
    [
        ({"approval_type": "singular", "approvers": ["bo"]}, 1),
        ({"approval_type": "singular", "approvers": ["bo", "ana"]}, 1),
        ({"approval_type": "one_of_many"}, 1),
        ({"approval_type": "two_of_many"}, 2),
        ({"approval_type": "all"}, 3),
        ({"approval_type": "majority"}, 2),
        ({"approval_type": "majority", "allow_self": True}, 3),
        ({"approval_type": "all", "allow_self": True}, 4),
    ],
)
async def test_how_many_are_needed_of_those_who_may_decide_without_who_started_it(
    org: Any, gate: dict[str, Any], quorum: int
) -> None:
    """ana starts it, and is an approver like bo, cy and di."""
    step = {"id": "gate", "type": "approval", "approvers": ["role:approver"], **gate}
    await org.publish_unproved([step])
    assert (await org.open_gate(await org.start("deploy"))).quorum == quorum


async def test_a_title_filled_by_a_job_with_anything_is_still_shown(org: Any) -> None:
    await org.publish([{"id": "gate", "type": "approval", "approvers": ["role:approver"]}])
    request = await org.open_gate(await org.start("deploy"), title="a\x00b\ud800" + "c" * 600)
    assert request.title.startswith("a\ufffdb?ccc")
    assert request.title.endswith("c…")
    assert len(request.title) == 500
    assert request.frozen["title"] == request.title
    assert digest(request.frozen) == request.digest


async def test_a_request_that_too_few_are_left_for_is_rejected_and_wakes_its_instance(org: Any) -> None:
    request = await org.gated(approval_type="all", approvers=["bo", "cy"])
    await approvals.vote(org.db, org.bo, request.id, "approve", "", request.digest)
    assert await approval_reach.reject_unreachable(org.db) == 0
    await person(org.db, "root", "admin")
    await users.change(org.db, SYSTEM, org.cy.id, disabled=True)
    seq = "SELECT wake_seq FROM instances WHERE id = $1"
    before = await org.db.fetchval(seq, request.instance_id)
    assert await approval_reach.reject_unreachable(org.db) == 1
    assert await approval_reach.reject_unreachable(org.db) == 0
    view = await approvals.show(org.db, SYSTEM, request.id)
    assert (view.status, view.sentence) == (
        "rejected",
        "Rejected: approval can no longer be reached. 2 approvals are needed, "
        "and of the 2 asked 1 said yes or may still vote.",
    )
    assert await org.db.fetchval(seq, request.instance_id) == before + 1


async def test_a_request_that_enough_are_left_for_waits_on(org: Any) -> None:
    request = await org.gated(approval_type="two_of_many")
    await person(org.db, "root", "admin")
    await users.change(org.db, SYSTEM, org.di.id, disabled=True)
    assert await approval_reach.reject_unreachable(org.db) == 0
    assert (await approvals.show(org.db, SYSTEM, request.id)).status == "pending"
