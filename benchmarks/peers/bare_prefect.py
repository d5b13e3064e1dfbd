"""Five-task flows run in this process against the same Prefect server as ours: the least Prefect costs."""

import asyncio
import json
import sys
import time
from typing import Any

from prefect.context import AsyncClientContext
from prefect.flow_engine import run_flow_async
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from benchmarks import spent
from benchmarks.measure import in_flight, spread
from benchmarks.peers.five_tasks import five_tasks


async def _one(_: int) -> None:
    await run_flow_async(flow=five_tasks, return_type="state")


async def _rate(count: int, at_once: int) -> dict[str, Any]:
    pids = spent.watched()
    before = spent.cpu_seconds(pids)
    rate = await in_flight(count, at_once, _one)
    await asyncio.sleep(2)  # the server records task runs a little later
    return {"rate": rate, "cpu": {name: used / count for name, used in spent.since(before, pids).items()}}


async def main(quick: bool) -> dict[str, Any]:
    """Every figure of this peer."""
    rounds, count = (3, 20) if quick else (10, 100)
    async with AsyncClientContext():
        await _rate(10, 5)
        times = []
        for number in range(rounds):
            began = time.monotonic()
            await _one(number)
            times.append((time.monotonic() - began) / 5)
        return {
            "per_step": spread(times).as_dict(),
            "rate_10": await _rate(count, 10),
            "rate_20": await _rate(count, 20),
        }


if __name__ == "__main__":
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        print(json.dumps(asyncio.run(main("--quick" in sys.argv[1:]))))
