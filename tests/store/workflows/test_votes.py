"""Voting: one transaction, one decision, only by who may, on what they saw."""

import asyncio
from typing import Any

import pytest

from definitions.errors import Conflict, Invalid, NotFound, NotPermitted
from definitions.permissions import SYSTEM, Actor
from definitions.quorum import digest
from store import approval_reach, approvals, roles, users
from store.approval_views import ApprovalView, VoteView
from tests.store.workflows.conftest import person


async def vote(
    org: Any, request: ApprovalView, actor: Actor, decision: Any = "approve", **more: str
) -> VoteView:
    seen = more.pop("digest", request.digest)
    return await approvals.vote(
        org.db, actor, request.id, decision, more.pop("comment", ""), seen, more.pop("via", "api")
    )


async def status(org: Any, request: ApprovalView) -> str:
    return (await approvals.show(org.db, SYSTEM, request.id)).status


async def decisions(org: Any, request: ApprovalView) -> int:
    count: int = await org.db.fetchval(
        "SELECT count(*) FROM audit WHERE action = 'approval.decide' AND subject_id = $1", request.id
    )
    return count


async def test_one_approver_of_many_decides(org: Any) -> None:
    request = await org.gated()
    answer = await vote(org, request, org.bo)
    assert (answer.status, answer.decided) == ("approved", True)
    view = await approvals.show(org.db, org.cy, request.id)
    assert view.decided_at is not None
    assert [(each.name, each.decision) for each in view.votes] == [("bo", "approve")]


async def test_a_vote_that_does_not_decide_says_how_far_it_is(org: Any) -> None:
    request = await org.gated(approval_type="two_of_many")
    answer = await vote(org, request, org.bo)
    assert (answer.status, answer.decided) == ("pending", False)
    assert "1 of 2" in answer.sentence
    assert (await vote(org, request, org.cy)).status == "approved"


async def test_deciding_wakes_the_instance_and_counting_does_not(org: Any) -> None:
    request = await org.gated(approval_type="two_of_many")
    seq = "SELECT wake_seq FROM instances WHERE id = $1"
    before = await org.db.fetchval(seq, request.instance_id)
    await vote(org, request, org.bo)
    assert await org.db.fetchval(seq, request.instance_id) == before
    await vote(org, request, org.cy)
    assert await org.db.fetchval(seq, request.instance_id) == before + 1


async def test_concurrent_votes_decide_once(org: Any) -> None:
    request = await org.gated(approval_type="all")
    answers = await asyncio.gather(*(vote(org, request, who) for who in (org.bo, org.cy, org.di)))
    assert sorted(answer.decided for answer in answers) == [False, False, True]
    assert await status(org, request) == "approved"
    assert await decisions(org, request) == 1


async def test_of_two_who_decide_at_once_one_is_told_it_is_decided(org: Any) -> None:
    request = await org.gated()
    answers = await asyncio.gather(
        vote(org, request, org.bo, "approve"), vote(org, request, org.cy, "approve"), return_exceptions=True
    )
    assert [type(answer) for answer in answers].count(VoteView) == 1
    assert any(isinstance(answer, Conflict) and "approved already" in str(answer) for answer in answers)
    assert await decisions(org, request) == 1


async def test_the_same_person_voting_twice_at_once_has_one_vote(org: Any) -> None:
    request = await org.gated(approval_type="two_of_many")
    answers = await asyncio.gather(*(vote(org, request, org.bo) for _ in range(5)))
    assert {answer.status for answer in answers} == {"pending"}
    assert await org.db.fetchval("SELECT count(*) FROM votes WHERE request_id = $1", request.id) == 1


async def test_a_repeat_gets_the_same_answer_also_when_it_is_decided(org: Any) -> None:
    request = await org.gated()
    first = await vote(org, request, org.bo)
    assert await vote(org, request, org.bo) == first
    assert await decisions(org, request) == 1


async def test_a_change_of_mind_is_refused(org: Any) -> None:
    request = await org.gated(approval_type="two_of_many")
    await vote(org, request, org.bo)
    with pytest.raises(Conflict, match="votes are final"):
        await vote(org, request, org.bo, "reject")


async def test_rejected_as_soon_as_approval_is_impossible(org: Any) -> None:
    request = await org.gated(approval_type="all")
    assert (await vote(org, request, org.cy, "reject")).status == "rejected"
    with pytest.raises(Conflict, match="rejected already"):
        await vote(org, request, org.bo)


async def test_what_was_not_seen_cannot_be_approved(org: Any) -> None:
    request = await org.gated()
    with pytest.raises(Conflict, match="look again"):
        await vote(org, request, org.bo, digest="0" * 64)
    assert await status(org, request) == "pending"


async def test_what_was_changed_behind_our_back_cannot_be_approved(org: Any) -> None:
    request = await org.gated()
    await org.db.execute(
        "UPDATE approval_requests SET frozen = $2 WHERE id = $1",
        request.id,
        {**request.frozen, "hosts": ["db-1"]},
    )
    with pytest.raises(Conflict, match="look again"):
        await vote(org, request, org.bo)


async def test_the_digest_is_that_of_what_is_read_back(org: Any) -> None:
    request = await org.gated()
    assert digest(request.frozen) == request.digest
    assert request.frozen["hosts"] == ["web-1"]
    assert request.frozen["eligible"] == sorted([org.bo.id, org.cy.id, org.di.id])


async def test_who_started_it_does_not_decide(org: Any) -> None:
    request = await org.gated()
    with pytest.raises(NotPermitted, match="You started this"):
        await vote(org, request, org.ana)


async def test_who_started_it_may_decide_where_the_step_says_so(org: Any) -> None:
    request = await org.gated(allow_self=True)
    assert (await vote(org, request, org.ana)).status == "approved"


async def test_somebody_not_asked_may_not_vote(org: Any) -> None:
    request = await org.gated(approvers=["user:bo"], approval_type="singular")
    with pytest.raises(NotPermitted, match="not among"):
        await vote(org, request, org.cy)


@pytest.mark.parametrize(
    "lose",
    ["DELETE FROM user_roles WHERE user_id = $1", "UPDATE users SET disabled_at = now() WHERE id = $1"],
    ids=["role", "account"],
)
async def test_who_lost_the_right_before_voting_may_not(org: Any, lose: str) -> None:
    request = await org.gated()
    await org.db.execute(lose, org.bo.id)
    with pytest.raises(NotPermitted):
        await vote(org, request, org.bo)  # the actor still carries the permission of before
    assert await status(org, request) == "pending"


async def test_who_was_asked_by_an_address_is_asked_whatever_becomes_of_the_address(org: Any) -> None:
    await person(org.db, "eve", "admin")
    request = await org.gated(approvers=["bo@example.org"], approval_type="singular")
    await users.change(org.db, SYSTEM, org.bo.id, email="bo@elsewhere.example")
    await users.change(org.db, SYSTEM, org.cy.id, email="bo@example.org")
    assert await approval_reach.reject_unreachable(org.db) == 0
    assert (await approvals.show(org.db, org.bo, request.id)).may_decide
    with pytest.raises(NotPermitted, match="not among"):
        await vote(org, request, org.cy)
    assert (await vote(org, request, org.bo)).status == "approved"


async def test_opsgate_itself_does_not_vote(org: Any) -> None:
    request = await org.gated()
    with pytest.raises(NotPermitted, match="Only a person"):
        await vote(org, request, SYSTEM)


async def test_a_viewer_may_not_vote(org: Any) -> None:
    request = await org.gated()
    with pytest.raises(NotPermitted, match=r"workflows\.manage"):
        await vote(org, request, org.vi)


async def test_an_unknown_request_is_not_found(org: Any) -> None:
    with pytest.raises(NotFound):
        await approvals.vote(org.db, org.bo, 999, "approve", "", "")


async def test_a_comment_has_bounds(org: Any) -> None:
    request = await org.gated()
    for comment in ("x" * 4001, "a\x00b", "half of \ud83d"):
        with pytest.raises(Invalid, match="comment"):
            await vote(org, request, org.bo, comment=comment)


async def test_the_view_says_whether_the_person_asking_may_decide(org: Any) -> None:
    request = await org.gated()
    why = {
        who.name: (await approvals.show(org.db, who, request.id)).why_not for who in (org.ana, org.bo, org.vi)
    }
    assert why["bo"] is None
    assert why["ana"] is not None
    assert "started" in why["ana"]
    assert why["vi"] is not None
    await vote(org, request, org.bo)
    after = await approvals.show(org.db, org.cy, request.id)
    assert (after.may_decide, after.why_not) == (False, "It is approved already.")


async def test_the_inbox_holds_what_waits_for_me(org: Any) -> None:
    request = await org.gated(approval_type="two_of_many")
    assert [row.id for row in (await approvals.listing(org.db, org.bo, mine=True)).items] == [request.id]
    assert (await approvals.listing(org.db, org.ana, mine=True)).items == []
    await vote(org, request, org.bo)
    assert (await approvals.listing(org.db, org.bo, mine=True)).items == []
    assert [row.id for row in (await approvals.listing(org.db, org.bo, status="pending")).items] == [
        request.id
    ]


async def test_a_role_lost_before_voting_is_no_vote_whatever_the_person_still_may(org: Any) -> None:
    await person(org.db, "root", "admin")
    await roles.save(org.db, SYSTEM, "dba", ["workflows.view", "workflows.manage"])
    await users.change(org.db, SYSTEM, org.cy.id, role_names=["dba", "operator"])
    request = await org.gated(approvers=["role:dba", "bo"])
    cy = await users.actor_of(org.db, org.cy.id)
    assert (await approvals.show(org.db, cy, request.id)).may_decide
    await users.change(org.db, SYSTEM, cy.id, role_names=["operator"])
    cy = await users.actor_of(org.db, org.cy.id)
    assert "workflows.manage" in cy.permissions
    seen = await approvals.show(org.db, cy, request.id)
    assert seen.why_not == "You were asked, and are not among the approvers any more."
    with pytest.raises(NotPermitted, match="not among the approvers any more"):
        await vote(org, request, cy)
    assert (await vote(org, request, org.bo)).status == "approved"
