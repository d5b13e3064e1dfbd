"""Parking and waking: a wake is never lost, whenever it comes."""

from datetime import UTC, datetime, timedelta

from store.connection import Database
from store.engine import attention, commits, leases
from store.wakes import wake_instance
from tests.store.engine.conftest import Worker


async def wake(db: Database, instance: int) -> None:
    async with db.transaction() as tx:
        await wake_instance(tx, instance)


async def idle(db: Database) -> list[int]:
    return [found.instance_id for found in await attention.idle(db)]


async def parked(
    db: Database,
    instance: int,
    worker: Worker,
    kind: commits.ParkKind = "gate",
    wake_at: datetime | None = None,
) -> None:
    lease = await leases.take(db, instance, await worker())
    seen = await leases.glance(db, lease)
    assert await commits.park(db, lease, seen.wake_seq, kind, wake_at, "Waits.") == 1
    await leases.release(db, lease, went_well=True)


async def test_a_new_instance_needs_a_run(db: Database, instance: int) -> None:
    assert await idle(db) == [instance]


async def test_an_instance_that_is_being_run_is_left_alone(
    db: Database, instance: int, worker: Worker
) -> None:
    await leases.take(db, instance, await worker())
    assert await idle(db) == []


async def test_a_parked_instance_is_left_alone_until_it_is_woken(
    db: Database, instance: int, worker: Worker
) -> None:
    await parked(db, instance, worker)
    assert await idle(db) == []
    await wake(db, instance)
    assert await idle(db) == [instance]


async def test_a_wake_before_the_park_refuses_the_park(db: Database, instance: int, worker: Worker) -> None:
    lease = await leases.take(db, instance, await worker())
    seen = await leases.glance(db, lease)
    await wake(db, instance)
    assert await commits.park(db, lease, seen.wake_seq, "gate", None, "Waits.") is None


async def test_a_wake_between_park_and_release_is_kept(db: Database, instance: int, worker: Worker) -> None:
    lease = await leases.take(db, instance, await worker())
    seen = await leases.glance(db, lease)
    await commits.park(db, lease, seen.wake_seq, "gate", None, "Waits.")
    await wake(db, instance)
    assert await idle(db) == [], "its executor still suspends it"
    await leases.release(db, lease, went_well=True)
    assert await idle(db) == [instance]


async def test_a_delay_that_is_over_needs_a_run(db: Database, instance: int, worker: Worker) -> None:
    await parked(db, instance, worker, "delay", datetime.now(UTC) - timedelta(seconds=1))
    assert await idle(db) == [instance]


async def test_jobs_whose_step_has_come_to_its_deadline_need_a_run(
    db: Database, instance: int, worker: Worker
) -> None:
    await parked(db, instance, worker, "jobs", datetime.now(UTC) + timedelta(minutes=1))
    assert await idle(db) == []
    await db.execute("UPDATE instances SET wake_at = now()")
    assert await idle(db) == [instance]


async def test_a_dead_executor_is_noticed(db: Database, instance: int, worker: Worker) -> None:
    dead = await worker()
    await leases.take(db, instance, dead)
    await db.execute("UPDATE workers SET heartbeat_at = now() - interval '1 minute' WHERE id = $1", dead)
    assert await idle(db) == [instance]


async def test_a_nudged_instance_gets_a_pause_that_doubles(db: Database, instance: int) -> None:
    await attention.nudged(db, instance)
    assert await idle(db) == []
    await db.execute("UPDATE instances SET nudged_at = now() - interval '2 seconds'")
    assert await idle(db) == [instance]
    await attention.nudged(db, instance)
    await db.execute("UPDATE instances SET nudged_at = now() - interval '2 seconds'")
    assert await idle(db) == []


async def test_gates_and_delays_pause_and_jobs_keep_it_running(
    db: Database, instance: int, worker: Worker
) -> None:
    kinds: dict[commits.ParkKind, str] = {"jobs": "running", "gate": "paused", "delay": "paused"}
    for kind, status in kinds.items():
        lease = await leases.take(db, instance, await worker())
        seen = await leases.glance(db, lease)
        await commits.park(db, lease, seen.wake_seq, kind, None, "Waits.")
        await leases.release(db, lease, went_well=True)
        assert await db.fetchval("SELECT status FROM instances WHERE id = $1", instance) == status
