"""Prefect's stock `process` worker: from creating a flow run to Running, alone and six at once."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectAlreadyExists

from benchmarks.machine import ROOT
from benchmarks.measure import spread
from benchmarks.peers.five_tasks import five_tasks

POOL = "bench-process"
LIMIT_SECONDS = 240


@asynccontextmanager
async def _worker() -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(
            "-m",
            "prefect",
            "worker",
            "start",
            "--pool",
            POOL,
            "--type",
            "process",
            "--install-policy",
            "never",
        ),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=ROOT,
    )
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 20)
            except TimeoutError:
                process.kill()


async def _deployment(client: PrefectClient) -> UUID:
    with suppress(ObjectAlreadyExists):
        await client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template={}))
    flow_id = await client.create_flow(five_tasks)
    entrypoint = "benchmarks/peers/five_tasks.py:five_tasks"
    return await client.create_deployment(
        flow_id=flow_id, name=POOL, work_pool_name=POOL, path=str(ROOT), entrypoint=entrypoint
    )


async def _online(client: PrefectClient) -> None:
    deadline = time.monotonic() + 60
    while not await client.read_workers_for_work_pool(POOL):
        if time.monotonic() > deadline:
            raise TimeoutError("the process worker did not come up")
        await asyncio.sleep(0.5)


async def _ended(client: PrefectClient, runs: Sequence[FlowRun]) -> list[FlowRun]:
    deadline = time.monotonic() + LIMIT_SECONDS
    done: list[FlowRun] = []
    for run in runs:
        while True:
            now = await client.read_flow_run(run.id)
            if now.state is not None and now.state.is_final():
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"a flow run is still {now.state_name}")
            await asyncio.sleep(0.5)
        if not now.state.is_completed():
            raise RuntimeError(f"a flow run ended {now.state_name}: {now.state.message}")
        done.append(now)
    return done


def _to_running(run: FlowRun) -> float:
    assert run.created is not None
    assert run.start_time is not None
    return (run.start_time - run.created).total_seconds()


def _at(moment: datetime | None) -> datetime:
    assert moment is not None
    return moment


async def _together(client: PrefectClient, deployment: UUID, count: int) -> list[FlowRun]:
    runs = [await client.create_flow_run_from_deployment(deployment) for _ in range(count)]
    return await _ended(client, runs)


async def main(quick: bool) -> dict[str, Any]:
    """Every figure of this peer."""
    async with get_client() as client:
        deployment = await _deployment(client)
        async with _worker():
            await _online(client)
            alone = [run for _ in range(1 if quick else 3) for run in await _together(client, deployment, 1)]
            six = await _together(client, deployment, 6)
    took = max(_at(run.end_time) for run in six) - min(_at(run.created) for run in six)
    return {
        "to_running": spread([_to_running(run) for run in alone]).as_dict(),
        "to_running_six": spread([_to_running(run) for run in six]).as_dict(),
        "rate_six": len(six) / took.total_seconds(),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main("--quick" in sys.argv[1:]))))
