"""From a decision to the next job: the vote is asked, and the agent has what stood behind the gate."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.measure import Spread, in_flight, spread
from benchmarks.ours.installation import Installation
from benchmarks.ours.workflows import GATED

LIMIT_SECONDS = 60.0
_SUSPENDED_SECONDS = 1.0
"""Between parking in the store and being suspended in Prefect; people take longer to read."""


@dataclass(frozen=True)
class Gate:
    """An instance at its gate."""

    instance: int
    request: int
    digest: str


_WAITING = """
SELECT r.instance_id, r.id, r.digest FROM approval_requests r JOIN instances i ON i.id = r.instance_id
WHERE r.status = 'pending' AND i.status = 'paused' AND i.parked_seq IS NOT NULL AND i.lease_holder IS NULL
ORDER BY r.id
"""


async def gates(here: Installation) -> list[Gate]:
    """Every instance that is parked at a gate."""
    return [Gate(*row.values()) for row in await here.db.fetch(_WAITING)]


async def brought_to_gate(here: Installation, count: int, limit_seconds: float) -> list[Gate]:
    """Start so many instances through the API and wait until `count` more than before are parked."""
    wanted = len(await gates(here)) + count

    async def start(number: int) -> None:
        await here.start(GATED, number)

    await in_flight(count, 10, start)
    async with asyncio.timeout(limit_seconds):
        while len(found := await gates(here)) < wanted:
            await asyncio.sleep(0.5)
    await asyncio.sleep(_SUSPENDED_SECONDS)
    return found


async def decided(here: Installation, chosen: Sequence[Gate]) -> Spread:
    """Vote on one after another; from the vote call to the job's arrival, each run to its end."""
    times = []
    for gate in chosen:
        asked = time.monotonic()
        await here.vote(gate.request, gate.digest)
        times.append(await here.deliveries.nth(gate.instance, 1, LIMIT_SECONDS) - asked)
        await here.endings.of(gate.instance, LIMIT_SECONDS)
    return spread(times)
