"""`python -m benchmarks [PART ...|all] [--quick]`: measure, show the table, write it down.

Parts: steps, waiting, startup, jobs, agents, proof.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence

from benchmarks import machine, results, startup, table
from benchmarks.figure import Figure
from benchmarks.ours import agents, installation, jobs, proof, steps, waiting
from benchmarks.peers import measure as measure_peers


async def _steps(quick: bool) -> list[Figure]:
    async with installation.installation() as here:
        figures = await measure_peers.beside(here, quick)
        return [*await steps.measure(here, quick), *figures]


async def _waiting(quick: bool) -> list[Figure]:
    async with installation.installation() as here:
        return await waiting.measure(here, quick)


async def _jobs(quick: bool) -> list[Figure]:
    async with installation.installation() as here:
        return await jobs.measure(here, quick)


async def _agents(quick: bool) -> list[Figure]:
    async with installation.installation() as here:
        return await agents.measure(here, quick)


PARTS: dict[str, Callable[[bool], Awaitable[list[Figure]]]] = {
    "steps": _steps,
    "waiting": _waiting,
    "startup": startup.measure,
    "jobs": _jobs,
    "agents": _agents,
    "proof": proof.measure,
}


async def _measure(parts: Sequence[str], quick: bool) -> list[Figure]:
    figures: list[Figure] = []
    for part in parts:
        print(f"Measuring {part} ...", file=sys.stderr, flush=True)
        figures += await PARTS[part](quick)
    return figures


def main() -> int:
    """Exit 0 when everything was measured; whether the aims are met, the table says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", choices=[*PARTS, "all"], default="all", metavar="|".join([*PARTS, "all"])
    )
    parser.add_argument(
        "--quick", action="store_true", help="few repeats, to try the harness; nothing is written"
    )
    given = parser.parse_args()
    asked = [given.parts] if isinstance(given.parts, str) else given.parts
    parts = list(PARTS) if "all" in asked else asked
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
    about = machine.describe()
    figures = asyncio.run(_measure(parts, given.quick))
    table.show(figures)
    if not given.quick:
        for path in results.write(about, parts, figures):
            print(f"Written: {path.relative_to(machine.ROOT)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
