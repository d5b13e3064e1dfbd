"""What the engine's commits do when something else has happened to the instance meanwhile."""

import uuid

import pytest

from definitions.lifecycles.instance import InstanceStatus
from definitions.permissions import SYSTEM
from definitions.routing import Active, Advance
from store import instances
from store.connection import Database
from store.engine import commits, leases, workers
from tests.store.engine.conftest import Worker

STEP = commits.StepRow(Active("a", 1), "command", "a", {})
ON = Advance((Active("b", 1),), None, "b", "Failed; next is b.")
FAIL = Advance((), InstanceStatus.FAILED, "fail", "Failed; the workflow fails.")


async def close(db: Database, lease: leases.Lease, status: str, advance: Advance) -> Advance:
    follows, _ = await commits.close_step(
        db,
        lease,
        STEP,
        status=status,
        outcome="failure" if status == "failed" else "success",
        facts=None,
        reason="On h: Cancelled by ann.",
        advance=advance,
        task_run_id=None,
    )
    return follows


@pytest.mark.parametrize("advance", [ON, FAIL])
@pytest.mark.parametrize(("status", "shown"), [("failed", "cancelled"), ("completed", "completed")])
async def test_a_step_that_ends_while_its_instance_is_cancelled_takes_no_route(
    db: Database, instance: int, worker: Worker, advance: Advance, status: str, shown: str
) -> None:
    lease = await leases.take(db, instance, await worker())
    await commits.open_step(db, lease, STEP)
    await instances.cancel(db, SYSTEM, instance, "wrong host")
    followed = await close(db, lease, status, advance)
    assert (followed.frontier, followed.ended) == ((), InstanceStatus.CANCELLED)
    row = await db.fetchrow("SELECT status, reason, frontier, cancel_reason FROM instances")
    assert row is not None
    assert (row["status"], row["frontier"]) == ("cancelled", [])
    assert row["reason"] == row["cancel_reason"]
    step = await db.fetchrow("SELECT status, routed_to FROM step_results")
    assert step is not None
    assert tuple(step) == (shown, "cancelled")


async def test_what_it_waited_for_is_forgotten_when_it_goes_on(
    db: Database, instance: int, worker: Worker
) -> None:
    lease = await leases.take(db, instance, await worker())
    seen = await leases.glance(db, lease)
    await commits.park(db, lease, seen.wake_seq, "jobs", None, "Waits for 1 of 1 jobs to end.")
    await close(db, lease, "failed", ON)
    assert await db.fetchval("SELECT reason FROM instances") == ""


async def test_an_executor_that_was_replaced_notes_no_task_run(
    db: Database, instance: int, worker: Worker
) -> None:
    slow = await worker()
    old = await leases.take(db, instance, slow)
    await commits.open_step(db, old, STEP)
    await workers.stop(db, slow)
    await leases.take(db, instance, await worker())
    await commits.note_task_run(db, old, STEP.active, uuid.uuid4())
    assert await db.fetchval("SELECT task_run_id FROM step_results") is None


async def test_a_step_whose_branch_was_given_up_begins_no_more(
    db: Database, instance: int, worker: Worker
) -> None:
    lease = await leases.take(db, instance, await worker())
    await db.execute("UPDATE instances SET frontier = $1", [{"step": "b", "visit": 1}])
    with pytest.raises(commits.Dropped, match="Step a of instance"):
        await commits.open_step(db, lease, STEP)
    assert await db.fetchval("SELECT count(*) FROM step_results") == 0


async def test_a_step_that_forks_opens_with_its_branches_in_one_commit(
    db: Database, instance: int, worker: Worker
) -> None:
    lease = await leases.take(db, instance, await worker())
    await commits.open_step(db, lease, STEP, frontier=(STEP.active, Active("x", 1)))
    assert (await leases.glance(db, lease)).frontier == [{"step": "a", "visit": 1}, {"step": "x", "visit": 1}]


async def test_what_is_dropped_ends_as_cancelled_and_nothing_else_does(
    db: Database, instance: int, worker: Worker
) -> None:
    lease = await leases.take(db, instance, await worker())
    inside, beside = (commits.StepRow(Active(name, 1), "command", name, {}) for name in "xy")
    for row in (STEP, inside, beside):
        await db.execute("UPDATE instances SET frontier = $1", [{"step": row.active.step, "visit": 1}])
        await commits.open_step(db, lease, row)
    await close(db, lease, "completed", Advance((Active("y", 1),), None, "y", "", (inside.active,)))
    rows = await db.fetch("SELECT step_id, status, reason FROM step_results ORDER BY step_id")
    assert [tuple(row)[:2] for row in rows] == [("a", "completed"), ("x", "cancelled"), ("y", "waiting")]
    assert rows[1]["reason"] == "Another branch of a came first."


async def test_what_is_dropped_by_a_failed_step_says_why_that_failed(
    db: Database, instance: int, worker: Worker
) -> None:
    lease = await leases.take(db, instance, await worker())
    await commits.open_step(db, lease, STEP)
    inside = commits.StepRow(Active("x", 1), "command", "x", {})
    await db.execute("UPDATE instances SET frontier = $1", [{"step": "x", "visit": 1}])
    await commits.open_step(db, lease, inside)
    await close(db, lease, "failed", Advance((Active("y", 1),), None, "y", "", (inside.active,)))
    reason = await db.fetchval("SELECT reason FROM step_results WHERE step_id = 'x'")
    assert reason == "On h: Cancelled by ann."


@pytest.mark.parametrize("ending", [InstanceStatus.CANCELLED, InstanceStatus.FAILED])
async def test_no_step_is_left_open_in_an_instance_that_has_ended(
    db: Database, instance: int, worker: Worker, ending: InstanceStatus
) -> None:
    lease = await leases.take(db, instance, await worker())
    beside = commits.StepRow(Active("x", 1), "command", "x", {})
    for row in (STEP, beside):
        await db.execute("UPDATE instances SET frontier = $1", [{"step": row.active.step, "visit": 1}])
        await commits.open_step(db, lease, row)
    await close(db, lease, "failed", Advance((), ending, str(ending), "It ended."))
    rows = await db.fetch("SELECT step_id, status, ended_at FROM step_results ORDER BY step_id")
    assert [(row["step_id"], row["status"]) for row in rows] == [("a", "failed"), ("x", "cancelled")]
    assert all(row["ended_at"] is not None for row in rows)
