"""Approval requests: opened once, expired by the database's clock, withdrawn."""

import asyncio
import time
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from definitions.errors import Conflict
from definitions.permissions import SYSTEM
from definitions.quorum import digest
from store import approvals, instances


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


async def test_a_vote_and_the_deadline_never_both_win(org: Any) -> None:
    """200 requests whose deadlines fall about when a vote arrives: each ends once, by vote or by time."""
    first = await org.gated(timeout_minutes=60)
    ids = [
        row["id"]
        for row in await org.db.fetch(
            """INSERT INTO approval_requests (instance_id, step_id, visit, title, approval_type, quorum,
                   eligible, frozen, digest, deadline)
               SELECT instance_id, step_id, n + 1, title, approval_type, quorum, eligible, frozen, digest,
                   deadline
               FROM approval_requests, generate_series(1, 200) n WHERE id = $1 RETURNING id""",
            first.id,
        )
    ]
    voting, takes, at_once = True, 0.01, asyncio.Semaphore(4)

    async def expire() -> None:
        while voting:
            await approvals.expire_due(org.db)
            await asyncio.sleep(0.002)
        await asyncio.sleep(2 * takes)
        await approvals.expire_due(org.db)

    async def vote(request_id: int) -> str:
        nonlocal takes
        async with at_once:
            # From at once to twice what a vote takes now, however busy the machine is.
            left = timedelta(seconds=takes * (request_id % 10) / 5)
            await org.db.execute(
                "UPDATE approval_requests SET deadline = clock_timestamp() + $2 WHERE id = $1",
                request_id,
                left,
            )
            begun = time.monotonic()
            try:
                return (await approvals.vote(org.db, org.bo, request_id, "approve", "", first.digest)).status
            except Conflict:
                return "refused"
            finally:
                takes = (takes + time.monotonic() - begun) / 2

    keeper = asyncio.create_task(expire())
    answers = dict(zip(ids, await asyncio.gather(*map(vote, ids)), strict=True))
    voting = False
    await keeper
    rows = await org.db.fetch(
        """SELECT r.id, r.status, (SELECT count(*) FROM votes v WHERE v.request_id = r.id) AS votes,
                  (SELECT count(*) FROM audit a
                   WHERE a.action = 'approval.decide' AND a.subject_id = r.id) AS decided
           FROM approval_requests r WHERE r.id = ANY ($1)""",
        ids,
    )
    outcome = {"approved": ("approved", 1, 1), "refused": ("expired", 0, 1)}
    assert {row["id"]: (row["status"], row["votes"], row["decided"]) for row in rows} == {
        request_id: outcome[answer] for request_id, answer in answers.items()
    }
    ways = Counter(answers.values())
    assert min(ways["approved"], ways["refused"]) >= 10, f"hardly a race: {ways}"


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


async def test_a_title_filled_by_a_job_with_anything_is_still_shown(org: Any) -> None:
    await org.publish([{"id": "gate", "type": "approval", "approvers": ["role:approver"]}])
    request = await org.open_gate(await org.start("deploy"), title="a\x00b\ud800" + "c" * 600)
    assert request.title.startswith("a\ufffdb?ccc")
    assert request.title.endswith("c…")
    assert len(request.title) == 500
    assert request.frozen["title"] == request.title
    assert digest(request.frozen) == request.digest
