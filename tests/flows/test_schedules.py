"""The keeper answers ticks that nobody fired, whether or not Prefect is there."""

import asyncio
from typing import cast
from uuid import uuid4

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun

from definitions.permissions import SYSTEM
from flows import recurring, schedules
from flows.keeper import Keeper
from flows.process import EngineProcess
from store import recurring_jobs, users
from store.connection import Database
from store.engine import schedules as wanted_schedules

JOB = {"type": "command", "hosts": ["web-1"], "payload": {"command": "true"}}


@pytest.fixture
async def often(db: Database) -> int:
    """A recurring job of every minute."""
    await users.bootstrap(db)
    ann = await users.create(db, SYSTEM, "ann", None, None, ["admin"])
    await db.execute("INSERT INTO hosts (name, os) VALUES ('web-1', 'linux')")
    document = {"name": "often", "cron": "* * * * *", "job": JOB, "catch_up": "one"}
    return (await recurring_jobs.save(db, await users.actor_of(db, ann.id), document)).id


async def overdue(db: Database, seconds: int) -> None:
    """As if its next tick had come so long ago, and nobody had fired it."""
    await db.execute(
        """UPDATE recurring_jobs SET next_run_at = now() - make_interval(secs => $1),
               answered_until = now() - interval '3 minutes'""",
        seconds,
    )


async def test_what_is_due_longer_than_it_is_left_to_prefect_is_answered(
    process: EngineProcess, often: int
) -> None:
    await overdue(process.db, wanted_schedules.OVERDUE_SECONDS - 10)
    await schedules.catch_up(process.db)
    assert await process.db.fetchval("SELECT count(*) FROM ticks") == 0
    await overdue(process.db, wanted_schedules.OVERDUE_SECONDS + 1)
    await asyncio.gather(*(schedules.catch_up(process.db) for _ in range(3)))
    assert await process.db.fetchval("SELECT count(*) FROM ticks") == 3
    assert await process.db.fetchval("SELECT next_run_at > now() FROM recurring_jobs")


async def test_the_keeper_answers_it_while_prefect_is_away(process: EngineProcess, often: int) -> None:
    await overdue(process.db, wanted_schedules.OVERDUE_SECONDS + 1)
    keeper = Keeper(process, cast(PrefectClient, object()), lambda _: False, lambda: False)
    running = asyncio.create_task(keeper.run())
    try:
        async with asyncio.timeout(20):
            while await process.db.fetchval("SELECT count(*) FROM ticks") < 3:
                await asyncio.sleep(0.05)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_run_of_another_deployment_fires_nothing(process: EngineProcess, often: int) -> None:
    made_up = FlowRun(
        flow_id=uuid4(), deployment_id=uuid4(), parameters={recurring.PARAMETER: often}, auto_scheduled=False
    )
    state = await recurring.fire(process.db, made_up)
    assert state.is_cancelled()
    assert await process.db.fetchval("SELECT count(*) FROM ticks") == 0
