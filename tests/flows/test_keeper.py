"""The keeper: one part of its work that hangs or fails never holds up another."""

import asyncio
from typing import Any, cast
from uuid import uuid4

import pytest
from prefect.client.orchestration import PrefectClient

from flows import prefect_runs
from flows.keeper import Keeper
from flows.process import EngineProcess
from store.connection import Database


@pytest.fixture
def keeper(process: EngineProcess) -> Keeper:
    return Keeper(process, cast(PrefectClient, object()), lambda _: False, lambda: False)


async def overdue_request(db: Database, instance: int) -> int:
    number: int = await db.fetchval(
        """INSERT INTO approval_requests (instance_id, step_id, visit, title, approval_type, quorum, eligible,
               frozen, digest, deadline)
           VALUES ($1, 'a', 1, 'Go on?', 'one_of_many', 1, '{1}', '{}', '', now() - interval '1 second')
           RETURNING id""",
        instance,
    )
    return number


async def test_deadlines_pass_while_a_call_to_prefect_hangs(
    keeper: Keeper, instance: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = asyncio.Event()

    async def hang(*_: Any, **__: Any) -> None:
        called.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(prefect_runs, "set_going", hang)
    running = asyncio.create_task(keeper.run())
    try:
        await asyncio.wait_for(called.wait(), 10)
        request = await overdue_request(keeper.db, instance)
        async with asyncio.timeout(10):
            sql = "SELECT status FROM approval_requests WHERE id = $1"
            while await keeper.db.fetchval(sql, request) != "expired":
                await asyncio.sleep(0.05)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_run_that_can_not_be_closed_does_not_stand_before_the_others(
    keeper: Keeper, instance: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keeper.db.execute(
        """INSERT INTO instances (workflow_id, workflow_version, host_ids, started_by_name)
           SELECT workflow_id, 1, host_ids, 'ann' FROM instances"""
    )
    await keeper.db.execute(
        """UPDATE instances SET status = 'cancelled', flow_run_id = gen_random_uuid(),
               ended_at = now() - interval '1 minute' + id * interval '1 second'"""
    )
    seen: list[int] = []

    async def close(_db: object, _client: object, ended: Any) -> None:
        seen.append(ended.instance_id)
        if ended.instance_id == instance:
            raise RuntimeError(f"Prefect does not like {uuid4()}")

    monkeypatch.setattr(prefect_runs, "close", close)
    await keeper.round(0)
    assert len(seen) == 2
