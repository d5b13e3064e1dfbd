"""The five-step workflow: time per step, workflows per second, start call to first job, CPU per instance."""

import asyncio
import time
from itertools import pairwise
from typing import Any

from benchmarks import spent
from benchmarks.figure import OURS, REAL_AGENT, Figure, of
from benchmarks.measure import in_flight, spread
from benchmarks.ours.installation import Installation
from benchmarks.ours.real_agent import real_agent
from benchmarks.ours.workflows import FIVE_STEPS, STEPS

LIMIT_SECONDS = 60.0
_RECORDED_LATER_SECONDS = 3.0
"""Prefect's server writes task runs a little after the run; their CPU belongs to the instance."""


async def one(here: Installation, number: int, hosts: list[str] | None = None) -> tuple[int, float, float]:
    """Run one instance to its end: its id, when the start was asked, when it had ended."""
    asked = time.monotonic()
    instance = await here.start(FIVE_STEPS, number, hosts)
    return instance, asked, await here.endings.of(instance, LIMIT_SECONDS)


async def alone(here: Installation, rounds: int) -> list[Figure]:
    """One instance at a time."""
    whole, first, between = [], [], []
    for number in range(rounds):
        instance, asked, ended = await one(here, number)
        arrived = here.deliveries.arrived.pop(instance)
        whole.append((ended - asked) / STEPS)
        first.append(arrived[0] - asked)
        between += [after - before for before, after in pairwise(arrived)]
    return [
        of("time per step", OURS, spread(whole), "s", "start call to the end, divided by five steps"),
        of("step to step", OURS, spread(between), "s", "from a step's job to the next step's"),
        of("start call to first job", OURS, spread(first), "s"),
    ]


async def together(here: Installation, count: int, at_once: int) -> list[Figure]:
    """Several under way, and what each process spent on one."""

    async def work(number: int) -> None:
        await one(here, number)

    pids = here.pids()
    before = spent.cpu_seconds(pids)
    rate = await in_flight(count, at_once, work)
    await asyncio.sleep(_RECORDED_LATER_SECONDS)
    used = spent.since(before, pids)
    figures = [Figure(f"workflows/s, {at_once} at once", OURS, rate, "/s", samples=count)]
    if at_once == 10:
        figures += [
            Figure(f"CPU per instance: {name}", OURS, seconds / count, "s", samples=count)
            for name, seconds in used.items()
        ]
    return figures


async def with_real_agent(here: Installation, rounds: int, count: int) -> list[Figure]:
    """The same with the agent that people run, which journals and spawns a process for each job."""
    host = await real_agent(here)
    times = []
    for number in range(rounds):
        _, asked, ended = await one(here, number, [host])
        times.append((ended - asked) / STEPS)

    async def work(number: int) -> None:
        await one(here, number, [host])

    rate = await in_flight(count, 10, work)
    return [
        of("time per step", REAL_AGENT, spread(times), "s"),
        Figure("workflows/s, 10 at once", REAL_AGENT, rate, "/s", samples=count),
    ]


async def measure(here: Installation, quick: bool) -> list[Figure]:
    """Every figure of this part."""
    sizes: dict[str, Any] = {"rounds": 5, "count": 20} if quick else {"rounds": 30, "count": 150}
    await in_flight(10 if quick else 50, 5, lambda number: _warm(here, number))
    figures = await alone(here, sizes["rounds"])
    for at_once in (10, 20):
        figures += await together(here, sizes["count"], at_once)
    return figures + await with_real_agent(here, sizes["rounds"], sizes["count"] // 3)


async def _warm(here: Installation, number: int) -> None:
    await one(here, number)
