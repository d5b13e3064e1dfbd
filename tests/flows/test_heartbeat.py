"""The heartbeat of an engine process: nothing that the process does may keep it from beating."""

import asyncio
from contextlib import AsyncExitStack

from flows.process import EngineProcess, beat, engine_process
from store.engine import leases


async def beaten(process: EngineProcess) -> bool:
    """Whether a heartbeat comes through when the last one is a while ago."""
    own = process.worker_id
    sql = "UPDATE workers SET heartbeat_at = now() - interval '1 minute' WHERE id = $1"
    await process.heart.execute(sql, own)
    async with asyncio.timeout(10):
        await beat(process)
    sql = "SELECT heartbeat_at > now() - interval '30 seconds' FROM workers WHERE id = $1"
    return bool(await process.heart.fetchval(sql, own))


async def test_it_beats_while_every_connection_of_the_pool_is_in_use(process: EngineProcess) -> None:
    async with engine_process(process.settings, pool_size=2) as busy, AsyncExitStack() as taken:
        for _ in range(2):
            await taken.enter_async_context(busy.db.connection())
        assert await beaten(busy)


async def test_it_beats_again_when_its_connection_was_lost(process: EngineProcess) -> None:
    pid = await process.heart.fetchval("SELECT pg_backend_pid()")
    await process.db.execute("SELECT pg_terminate_backend($1)", pid)
    alive = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = $1)"
    while await process.db.fetchval(alive, pid):
        await asyncio.sleep(0.01)
    assert await beaten(process)
    assert await process.heart.fetchval("SELECT pg_backend_pid()") != pid


async def test_a_lease_that_can_not_be_given_back_does_not_hold_it_up(
    process: EngineProcess, instance: int
) -> None:
    await leases.take(process.db, instance, process.worker_id)
    process.unreleased.add(instance)
    async with process.db.transaction() as tx:
        await tx.execute("SELECT 1 FROM instances WHERE id = $1 FOR UPDATE", instance)
        assert await beaten(process)
        assert process.unreleased == {instance}
    await beat(process)
    assert process.unreleased == set()
