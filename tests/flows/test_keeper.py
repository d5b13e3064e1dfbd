"""The keeper: one part of its work that hangs or fails never holds up another."""

import asyncio
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
from prefect.client.orchestration import PrefectClient

from flows import prefect_runs
from flows.keeper import Keeper
from flows.process import EngineProcess
from store.connection import Database
from store.engine import attention


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


def refused(code: int) -> httpx.HTTPStatusError:
    request = httpx.Request("GET", "http://127.0.0.1:1/api")
    return httpx.HTTPStatusError("no", request=request, response=httpx.Response(code, request=request))


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (httpx.ConnectError("refused"), 3),
        (httpx.ReadTimeout("hangs"), 3),
        (refused(503), 3),
        (refused(500), 4),
        (refused(422), 4),
        (RuntimeError("a mistake of ours"), 4),
    ],
)
async def test_only_a_nudge_that_reached_prefect_counts(
    keeper: Keeper, instance: int, monkeypatch: pytest.MonkeyPatch, error: Exception, counted: int
) -> None:
    await keeper.db.execute("UPDATE instances SET nudges = 3")

    async def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(prefect_runs, "set_going", fail)
    await keeper.round(0)
    assert await keeper.db.fetchval("SELECT nudges FROM instances") == counted


async def test_an_instance_is_tried_within_seconds_of_an_outage_and_the_rest_of_the_round_not_at_all(
    keeper: Keeper, instance: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keeper.db.execute(
        """INSERT INTO instances (workflow_id, workflow_version, host_ids, started_by_name)
           SELECT workflow_id, 1, host_ids, 'ann' FROM instances, generate_series(1, 30)"""
    )
    tries = 0

    async def away(*_: Any, **__: Any) -> None:
        nonlocal tries
        tries += 1
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(prefect_runs, "set_going", away)
    for expected in (8, 16, 24):  # as many as are tried side by side
        await keeper.round(1)
        assert tries <= expected
        await keeper.db.execute("UPDATE instances SET nudged_at = nudged_at - interval '1 second'")
    assert len(await attention.idle(keeper.db)) == 31


async def test_a_segment_that_went_well_meanwhile_is_not_made_to_wait(keeper: Keeper, instance: int) -> None:
    (idle,) = await attention.idle(keeper.db)
    await attention.nudged(keeper.db, instance)
    await keeper.db.execute("UPDATE instances SET nudges = 0, nudged_at = NULL")
    await attention.not_reached(keeper.db, idle)
    assert [found.nudges for found in await attention.idle(keeper.db)] == [0]


async def test_an_instance_that_ended_before_it_had_a_run_is_closed(keeper: Keeper, instance: int) -> None:
    await keeper.db.execute(
        "UPDATE instances SET status = 'cancelled', ended_at = now() - interval '1 minute'"
    )
    await keeper.round(0)
    assert await attention.unclosed(keeper.db) == []
    assert await keeper.db.fetchval("SELECT run_closed FROM instances")


async def test_a_run_that_was_made_for_it_all_the_same_is_closed_too(keeper: Keeper, instance: int) -> None:
    await keeper.db.execute(
        """UPDATE instances SET status = 'cancelled', ended_at = now() - interval '1 minute',
           run_closed = true"""
    )
    run = uuid4()
    assert await attention.attach_run(keeper.db, instance, 1, run)
    assert [found.flow_run_id for found in await attention.unclosed(keeper.db)] == [run]


async def test_the_slow_round_purges_what_nothing_needs(keeper: Keeper) -> None:
    db = keeper.db
    await db.execute(
        """INSERT INTO outbox (kind, payload, done_at)
           VALUES ('old', '{}', now() - interval '8 days'), ('late', '{}', now()), ('open', '{}', NULL)"""
    )
    await db.execute(
        "INSERT INTO sign_in_failures (name, at) VALUES ('bob', now() - interval '2 days'), ('eve', now())"
    )
    await keeper.deadlines(1)
    assert await db.fetchval("SELECT count(*) FROM outbox") == 3
    await keeper.deadlines(0)
    assert [row["kind"] for row in await db.fetch("SELECT kind FROM outbox ORDER BY id")] == ["late", "open"]
    assert [row["name"] for row in await db.fetch("SELECT name FROM sign_in_failures")] == ["eve"]


async def test_the_lock_is_free_when_a_keeper_has_ended_or_lost_its_connection(
    keeper: Keeper, process: EngineProcess
) -> None:
    held = "SELECT pid FROM pg_locks WHERE locktype = 'advisory'"

    async def holder(before: int | None = None) -> int:
        async with asyncio.timeout(10):
            while (pid := await process.heart.fetchval(held)) in (None, before):
                await asyncio.sleep(0.05)
        return int(pid)

    async def nobody_holds_it() -> None:
        async with asyncio.timeout(10):
            while await process.heart.fetchval(held) is not None:
                await asyncio.sleep(0.05)

    running = asyncio.create_task(keeper.run())
    first = await holder()
    await process.heart.execute("SELECT pg_terminate_backend($1)", first)
    assert await holder(first) != first
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await nobody_holds_it()
