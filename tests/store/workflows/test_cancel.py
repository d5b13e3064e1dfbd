"""Cancelling an instance in every state it can be in."""

import asyncio
import uuid
from typing import Any

import pytest

from agent.payloads import CommandPayload
from definitions.errors import Conflict
from store import approvals, instances, jobs
from store.jobs import NewJob

WAIT = {"id": "wait", "type": "delay", "seconds": 5}


async def queued(org: Any) -> int:
    workflow = await org.publish([WAIT])
    instance: int = (await org.start(workflow)).id
    return instance


async def wake_seq(org: Any, instance: int) -> int:
    seq: int = await org.db.fetchval("SELECT wake_seq FROM instances WHERE id = $1", instance)
    return seq


async def move(org: Any, instance: int, *states: str) -> None:
    for state in states:
        await org.db.execute("UPDATE instances SET status = $2 WHERE id = $1", instance, state)


async def test_one_that_nobody_has_begun_is_over_at_once(org: Any) -> None:
    instance = await queued(org)
    view = await instances.cancel(org.db, org.bo, instance, "wrong host")
    assert (view.status, view.reason) == ("cancelled", "Cancelled by bo: wrong host")
    assert view.ended_at is not None
    assert (view.frontier, view.waits_for) == ([], None)


@pytest.mark.parametrize("state", ["running", "paused"])
async def test_one_that_is_under_way_is_asked_to_end(org: Any, state: str) -> None:
    instance = await queued(org)
    await move(org, instance, "running", state) if state == "paused" else await move(org, instance, state)
    before = await wake_seq(org, instance)
    view = await instances.cancel(org.db, org.bo, instance)
    assert (view.status, view.ended_at) == (state, None)
    assert view.cancel_requested_at is not None
    assert view.cancel_reason == "Cancelled by bo."
    assert view.waits_for == "It is being cancelled."
    assert await wake_seq(org, instance) == before + 1


async def test_one_that_a_worker_has_just_taken_is_left_to_it(org: Any) -> None:
    instance, worker = await queued(org), uuid.uuid4()
    await org.db.execute("INSERT INTO workers (id, name) VALUES ($1, 'w')", worker)
    await org.db.execute("UPDATE instances SET lease_holder = $2 WHERE id = $1", instance, worker)
    assert (await instances.cancel(org.db, org.bo, instance)).ended_at is None


@pytest.mark.parametrize("state", ["completed", "failed"])
async def test_one_that_has_ended_is_not_cancelled(org: Any, state: str) -> None:
    instance = await queued(org)
    await move(org, instance, "running", state)
    await org.db.execute("UPDATE instances SET ended_at = now() WHERE id = $1", instance)
    with pytest.raises(Conflict, match=state):
        await instances.cancel(org.db, org.bo, instance)


async def test_asking_twice_keeps_the_first_reason_and_wakes_once(org: Any) -> None:
    instance = await queued(org)
    await move(org, instance, "running")
    await instances.cancel(org.db, org.bo, instance, "first")
    before = await wake_seq(org, instance)
    view = await instances.cancel(org.db, org.cy, instance, "second")
    assert view.cancel_reason == "Cancelled by bo: first"
    assert await wake_seq(org, instance) == before


async def test_the_audit_knows_who_cancelled(org: Any) -> None:
    instance = await queued(org)
    await instances.cancel(org.db, org.bo, instance)
    row = await org.db.fetchrow("SELECT actor_name, subject_id FROM audit WHERE action = 'instance.cancel'")
    assert (row["actor_name"], row["subject_id"]) == ("bo", instance)


async def test_its_open_requests_are_withdrawn(org: Any) -> None:
    request = await org.gated()
    await instances.cancel(org.db, org.bo, request.instance_id, "changed plan")
    view = await approvals.show(org.db, org.cy, request.id)
    assert (view.status, view.decision_reason) == ("withdrawn", "Cancelled by bo: changed plan")


async def test_its_jobs_are_cancelled_and_a_running_one_is_asked_to_stop(org: Any) -> None:
    workflow = await org.publish([{"id": "run", "type": "command", "command": "true"}])
    instance = (await org.start(workflow)).id
    await move(org, instance, "running")
    async with org.db.transaction() as tx:
        new = [NewJob("command", host, CommandPayload(command="true"), 2) for host in org.hosts]
        waiting, running = await jobs.insert(tx, "ana", org.ana.id, new, instance, "run", 1)
    for state in ("pending", "running"):
        await org.db.execute("UPDATE jobs SET status = $2 WHERE id = $1", running, state)
    await instances.cancel(org.db, org.bo, instance)
    rows = {
        row["id"]: (row["status"], row["cancel_requested_at"] is not None)
        for row in await org.db.fetch("SELECT id, status, cancel_requested_at FROM jobs")
    }
    assert rows[waiting][0] == "cancelled"
    assert rows[running] == ("running", True)


async def test_a_cancel_and_votes_at_once_never_wait_for_each_other(org: Any) -> None:
    for _ in range(10):
        request = await org.gated(approval_type="all", timeout_minutes=1)
        await org.db.execute(
            "UPDATE approval_requests SET deadline = clock_timestamp() WHERE id = $1", request.id
        )
        results = await asyncio.gather(
            *(
                approvals.vote(org.db, who, request.id, "approve", "", request.digest)
                for who in (org.bo, org.cy)
            ),
            instances.cancel(org.db, org.bo, request.instance_id),
            approvals.expire_due(org.db),
            return_exceptions=True,
        )
        unexpected = [
            each for each in results if isinstance(each, Exception) and not isinstance(each, Conflict)
        ]
        assert unexpected == []
        assert (await approvals.show(org.db, org.cy, request.id)).status in ("withdrawn", "expired")
