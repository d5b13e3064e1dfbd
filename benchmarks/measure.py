"""Times and rates: what a list of measured seconds comes to."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Spread:
    """A measured quantity: its median, its 90th percentile, and how often it was measured."""

    median: float
    p90: float
    samples: int

    def as_dict(self) -> dict[str, Any]:
        """For a child's JSON."""
        return asdict(self)


def rank(values: Sequence[float], percent: int) -> float:
    """The value that so many percent do not exceed: the nearest rank, so it was really seen."""
    ordered = sorted(values)
    return ordered[max(1, -(-len(ordered) * percent // 100)) - 1]


def spread(values: Sequence[float]) -> Spread:
    """The spread of at least one value."""
    if not values:
        raise ValueError("nothing was measured")
    return Spread(median(values), rank(values, 90), len(values))


async def in_flight(count: int, at_once: int, work: Callable[[int], Awaitable[None]]) -> float:
    """Do `work` `count` times with `at_once` under way; returns how many were done per second."""
    numbers = iter(range(count))

    async def lane() -> None:
        for number in numbers:
            await work(number)

    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(lane())
    return count / (time.monotonic() - began)
