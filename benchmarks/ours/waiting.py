"""Instances that wait at an approval: what they cost, and whether a decision is as quick beside them."""

import asyncio
from collections.abc import Mapping

from benchmarks import spent
from benchmarks.figure import OURS, Figure, of
from benchmarks.measure import in_flight
from benchmarks.ours import seed, steps
from benchmarks.ours.decisions import brought_to_gate, decided, gates
from benchmarks.ours.installation import Installation

WATCHED = ("prefect server", "worker", "web")
"""The processes whose memory and CPU the aim is about; PostgreSQL's CPU is told beside."""


async def _idle_cpu(pids: Mapping[str, int], seconds: float) -> dict[str, float]:
    """Percent of a core that each process uses while nothing is asked of it."""
    before = spent.cpu_seconds(pids)
    await asyncio.sleep(seconds)
    return {name: 100 * used / seconds for name, used in spent.since(before, pids).items()}


class Baseline:
    """What the installation uses with nothing waiting: the figures are what is added to it."""

    def __init__(self, memory: Mapping[str, int], cpu: Mapping[str, float], seconds: float) -> None:
        self._memory = memory
        self._cpu = cpu
        self._seconds = seconds

    async def added(self, here: Installation, label: str) -> list[Figure]:
        """Memory and CPU beyond the baseline, with `label` instances waiting."""
        pids = here.pids()
        cpu = await _idle_cpu(pids, self._seconds)
        memory = spent.memory(pids)
        figures = [
            Figure(
                f"memory added, {label} wait: {name}",
                OURS,
                (memory[name] - self._memory[name]) / 2**20,
                "MiB",
            )
            for name in WATCHED
        ]
        more = {name: cpu[name] - self._cpu[name] for name in cpu}
        parts = ", ".join(f"{name} {self._cpu[name]:.1f} -> {cpu[name]:.1f}" for name in cpu)
        total = sum(more[name] for name in WATCHED)
        note = f"{' + '.join(WATCHED)} beyond idle, {self._seconds:.0f} s; percent of a core: {parts}"
        return [*figures, Figure(f"CPU while {label} wait", OURS, total, "% of a core", note=note)]


async def measure(here: Installation, quick: bool) -> list[Figure]:
    """Every figure of this part."""
    real, seeded, votes, seconds = (50, 200, 5, 5.0) if quick else (1000, 10_000, 30, 30.0)
    await in_flight(10 if quick else 50, 5, lambda number: _warm(here, number))
    await brought_to_gate(here, votes, 120)
    figures = [of("decision to next job", OURS, await decided(here, await gates(here)), "s")]
    await asyncio.sleep(5)
    pids = here.pids()
    baseline = Baseline(spent.memory(pids), await _idle_cpu(pids, seconds), seconds)
    label = f"{real:,}"
    found = await brought_to_gate(here, real, 900)
    await asyncio.sleep(5)
    figures += await baseline.added(here, label)
    spread = await decided(here, found[:: max(1, len(found) // votes)][:votes])
    figures.append(of(f"decision to next job, {label} wait", OURS, spread, "s"))
    return figures + await _seeded(here, baseline, seeded, votes)


async def _seeded(here: Installation, baseline: Baseline, wanted: int, votes: int) -> list[Figure]:
    """The same with rows copied from an instance that really waits."""
    label = f"{wanted:,}"
    present = await gates(here)
    await seed.copies(here, present[-1].instance, wanted - len(present))
    await asyncio.sleep(5)
    figures = await baseline.added(here, label)
    found = (await gates(here))[len(present) :]
    spread = await decided(here, found[:: max(1, len(found) // votes)][:votes])
    figures.append(of(f"decision to next job, {label} wait", OURS, spread, "s", "decided on seeded ones"))
    return figures


async def _warm(here: Installation, number: int) -> None:
    await steps.one(here, number)
