"""Thousands of agents that hold a poll open: memory, idle CPU, and how soon a job reaches one of them.

And how soon while another host's job prints a gibibyte.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Sequence

from benchmarks import spent
from benchmarks.figure import OURS, Figure, of
from benchmarks.instant_agent import InstantAgent
from benchmarks.measure import rank, spread
from benchmarks.ours import fleet
from benchmarks.ours.installation import Installation
from benchmarks.ours.real_agent import real_agent

WATCHED = ("web", "PostgreSQL")
_LIMIT_SECONDS = 60.0
_SETTLED_SECONDS = 25.0
"""A poll is held open for 20 seconds: after these, every agent has polled again in its own time."""
_PER_SECOND = 100
"""So many agents come up a second, so that their polls do not march in step."""
_DELIVERY = "dispatch to delivery"


async def measure(here: Installation, quick: bool) -> list[Figure]:
    """Every figure of this part."""
    count, seconds, jobs, flood = (100, 5.0, 20, 64) if quick else (2000, 40.0, 300, 1024)
    pids = {name: pid for name, pid in here.pids().items() if name in WATCHED}
    alone = await _delivered(here, here.hosts, jobs, 0)
    memory, idle = spent.memory(pids), await _idle(pids, seconds)
    label = f"{count:,} agents"
    async with _polling(here, count) as hosts:
        await asyncio.sleep(2 if quick else _SETTLED_SECONDS)
        busy = await _idle(pids, seconds)
        added = spent.memory(pids)["web"] - memory["web"]
        figures = [
            Figure(f"memory added, {label}: web", OURS, added / 2**20, "MiB"),
            *(
                Figure(
                    f"idle CPU, {label}: {name}",
                    OURS,
                    busy[name],
                    "% of a core",
                    note=f"{idle[name]:.1f} without",
                )
                for name in WATCHED
            ),
            of(
                f"{_DELIVERY}, {len(here.hosts)} agents",
                OURS,
                spread(alone),
                "s",
                "asked over REST, one at a time",
            ),
        ]
        figures += _both(f"{_DELIVERY}, {label}", await _delivered(here, hosts, jobs, 1_000_000))
        host = await real_agent(here)
        body = {
            "type": "command",
            "hosts": [host],
            "payload": {"command": f"head -c {flood}M /dev/zero | tr '\\0' x"},
        }
        (printing,) = (await here.post("/jobs", body))["jobs"]
        during = await _delivered(here, hosts, jobs, 2_000_000, while_runs=printing)
        figures += _both(f"{_DELIVERY}, {label}, while a job prints {flood:,} MiB", during)
        figures.append(
            Figure(f"memory after {flood:,} MiB printed: web", OURS, _peak(pids["web"]), "MiB", note="peak")
        )
    return figures


def _both(name: str, times: Sequence[float]) -> list[Figure]:
    """The median with its 90th percentile, and the 99th."""
    return [
        of(name, OURS, spread(times), "s"),
        Figure(f"{name}, p99", OURS, rank(times, 99), "s", samples=len(times)),
    ]


@contextlib.asynccontextmanager
async def _polling(here: Installation, count: int) -> AsyncIterator[list[str]]:
    """So many instant agents on hosts of their own, all polling; the hosts' names."""
    running = []
    seats = await fleet.seats(here.db, count, "held")
    for seat in seats:
        agent = InstantAgent(here.stack.url, seat.name, here.deliveries)
        agent.sit(seat.token)
        running.append(asyncio.create_task(agent.run(), name=seat.name))
        await asyncio.sleep(1 / _PER_SECOND)
    try:
        yield [seat.name for seat in seats]
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _delivered(
    here: Installation, hosts: Sequence[str], count: int, first: int, while_runs: int | None = None
) -> list[float]:
    """Dispatch one job after another to hosts by chance: from asking to arrival, each. At least `count`
    unless a job is named: then as long as that one runs."""
    chance = random.Random(first)
    times: list[float] = []
    while len(times) < count if while_runs is None else await _runs(here, while_runs):
        number = first + len(times) + 1
        payload = {"command": "true", "environment": {"OPSGATE_V1": str(number)}}
        asked = time.monotonic()
        await here.post("/jobs", {"type": "command", "hosts": [chance.choice(hosts)], "payload": payload})
        times.append(await here.deliveries.nth(number, 1, _LIMIT_SECONDS) - asked)
        await asyncio.sleep(0.01)
    return times


async def _runs(here: Installation, job: int) -> bool:
    ended: bool = await here.db.fetchval("SELECT ended_at IS NOT NULL FROM jobs WHERE id = $1", job)
    return not ended


async def _idle(pids: dict[str, int], seconds: float) -> dict[str, float]:
    """Percent of a core that each process uses while nothing is dispatched."""
    before = spent.cpu_seconds(pids)
    await asyncio.sleep(seconds)
    return {name: 100 * used / seconds for name, used in spent.since(before, pids).items()}


def _peak(pid: int) -> float:
    """MiB a process had resident at most."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))
