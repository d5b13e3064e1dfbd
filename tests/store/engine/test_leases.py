"""The lease: one executor at a time, and a fence that a late one can't pass."""

import asyncio

import pytest

from definitions.routing import Active, Advance
from store.connection import Database
from store.engine import commits, leases, workers
from store.engine.leases import AlreadyEnded, LeaseHeld, LeaseLost
from tests.live.facts import blocked
from tests.store.engine.conftest import Worker

NEXT = Advance(frontier=(Active("b", 1),), ended=None, target="b", reason="")
STEP = commits.StepRow(Active("a", 1), "command", "a", {})


async def close(db: Database, lease: leases.Lease, advance: Advance = NEXT) -> None:
    await commits.close_step(
        db,
        lease,
        STEP,
        status="completed",
        outcome="success",
        facts=None,
        reason="",
        advance=advance,
        task_run_id=None,
    )


async def test_a_second_executor_finds_the_lease_held(db: Database, instance: int, worker: Worker) -> None:
    await leases.take(db, instance, await worker())
    with pytest.raises(LeaseHeld):
        await leases.take(db, instance, await worker())


async def test_the_same_worker_can_not_run_it_twice_either(
    db: Database, instance: int, worker: Worker
) -> None:
    mine = await worker()
    await leases.take(db, instance, mine)
    with pytest.raises(LeaseHeld):
        await leases.take(db, instance, mine)


async def test_of_many_executors_at_once_one_gets_the_lease(
    db: Database, instance: int, worker: Worker
) -> None:
    ids = [await worker() for _ in range(8)]
    answers = await asyncio.gather(*(leases.take(db, instance, one) for one in ids), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["Lease"] + ["LeaseHeld"] * 7


async def test_a_dead_workers_lease_can_be_taken(db: Database, instance: int, worker: Worker) -> None:
    dead = await worker()
    first = await leases.take(db, instance, dead)
    await db.execute("UPDATE workers SET heartbeat_at = now() - interval '1 minute' WHERE id = $1", dead)
    second = await leases.take(db, instance, await worker())
    assert second.epoch > first.epoch


async def test_a_stopped_workers_lease_is_free_at_once(db: Database, instance: int, worker: Worker) -> None:
    ending = await worker()
    await leases.take(db, instance, ending)
    await workers.stop(db, ending)
    await leases.take(db, instance, await worker())


async def test_a_worker_that_was_only_slow_can_not_commit(
    db: Database, instance: int, worker: Worker
) -> None:
    slow = await worker()
    old = await leases.take(db, instance, slow)
    await db.execute("UPDATE workers SET heartbeat_at = now() - interval '1 minute' WHERE id = $1", slow)
    new = await leases.take(db, instance, await worker())
    with pytest.raises(LeaseLost):
        await close(db, old)
    await close(db, new)
    assert await db.fetchval("SELECT count(*) FROM step_results") == 1


async def test_an_old_release_does_not_free_a_new_lease(db: Database, instance: int, worker: Worker) -> None:
    slow = await worker()
    old = await leases.take(db, instance, slow)
    await workers.stop(db, slow)
    await leases.take(db, instance, await worker())
    await leases.release(db, old, went_well=True)
    with pytest.raises(LeaseHeld):
        await leases.take(db, instance, await worker())


async def test_an_ended_instance_has_no_lease_to_take(db: Database, instance: int, worker: Worker) -> None:
    from definitions.lifecycles.instance import InstanceStatus

    lease = await leases.take(db, instance, await worker())
    await close(db, lease, Advance((), InstanceStatus.COMPLETED, "end", "Done."))
    with pytest.raises(AlreadyEnded) as ended:
        await leases.take(db, instance, await worker())
    assert ended.value.status == "completed"
    with pytest.raises(LeaseLost):
        await close(db, lease)


async def test_who_waited_for_the_row_finds_the_lease_that_was_taken_meanwhile(
    db: Database, instance: int, worker: Worker
) -> None:
    """The row is locked while the second looks; it must judge what the first left, not what it saw."""
    first, second = await worker(), await worker()
    async with db.transaction() as tx:
        await tx.execute("UPDATE instances SET lease_holder = $2 WHERE id = $1", instance, first)
        waiting = asyncio.create_task(leases.take(db, instance, second))
        await blocked(db, waiting)
    with pytest.raises(LeaseHeld):
        await waiting
