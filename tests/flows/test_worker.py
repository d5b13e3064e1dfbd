"""The warm worker's polls: rung for, coalesced, and never its end."""

import asyncio
import threading
from contextlib import nullcontext

import anyio
import pytest
from prefect.workers.base import BaseWorker

from flows.settings import WORK_POOL, EngineSettings
from flows.worker import OpsgateWorker


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> OpsgateWorker:
    settings = EngineSettings(database_url="postgresql://", prefect_api_url="http://127.0.0.1:1/api")
    made = OpsgateWorker(work_pool_name=WORK_POOL, settings=settings)
    monkeypatch.setattr(made, "_has_room", lambda: True)
    return made


async def test_a_ring_during_the_last_poll_is_answered(
    worker: OpsgateWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    polls: list[float] = []

    async def poll(_: object) -> list[object]:
        polls.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0)
        if len(polls) == 4:  # the last of the first ring's
            worker._rung()
        return []

    monkeypatch.setattr(BaseWorker, "get_and_submit_flow_runs", poll)
    async with anyio.create_task_group() as group:
        worker._runs_task_group = group
        worker._rung()
    assert len(polls) > 4


async def test_a_poll_that_fails_does_not_end_the_worker(
    worker: OpsgateWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> list[object]:
        raise RuntimeError("this borrower is already holding one of this CapacityLimiter's tokens")

    monkeypatch.setattr(BaseWorker, "get_and_submit_flow_runs", fail)
    assert await worker.get_and_submit_flow_runs() == []


async def test_a_missed_sign_of_life_does_not_end_a_worker_that_has_begun(
    worker: OpsgateWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> None:
        raise ConnectionError("Prefect is away")

    monkeypatch.setattr(BaseWorker, "sync_with_backend", fail)
    with pytest.raises(ConnectionError):
        await worker.sync_with_backend()
    worker._has_successfully_synced = True
    await worker.sync_with_backend()


async def test_a_worker_that_waits_to_begin_ends_when_it_is_asked_to(
    worker: OpsgateWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = threading.Event()

    class Away:
        """Prefect, which never answers."""

        async def __aenter__(self) -> None:
            reached.set()
            await asyncio.Event().wait()

        async def __aexit__(self, *_: object) -> None:
            return None

    class Unasked:
        """The client that asks nothing; made here, it would start a Prefect server of its own."""

        get_or_create = nullcontext

    monkeypatch.setattr("flows.worker.SyncClientContext", Unasked)
    monkeypatch.setattr("flows.worker.AsyncClientContext", Away)
    serving = asyncio.create_task(worker.start())
    assert await asyncio.to_thread(reached.wait, 30)
    serving.cancel()
    done, _ = await asyncio.wait([serving], timeout=10)
    assert done
