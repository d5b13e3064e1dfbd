"""Runs the peers, each in a process of its own, and names their figures."""

import importlib.util
import os
import sys
from typing import Any

from benchmarks import spent
from benchmarks.child import measured
from benchmarks.figure import BARE, STOCK, TEMPORAL, Figure, of
from benchmarks.measure import Spread
from benchmarks.ours.installation import Installation

_LIMIT_SECONDS = 900


async def beside(here: Installation, quick: bool) -> list[Figure]:
    """Every peer, one after the other, those on Prefect against the Prefect server of `here`."""
    options = ("--quick",) if quick else ()
    on_prefect = {**here.stack.environment, **spent.in_environment(here.pids())}

    async def run(module: str, environment: dict[str, str]) -> dict[str, Any]:
        name = f"benchmarks.peers.{module}"
        return await measured(name, *options, environment=environment, limit_seconds=_LIMIT_SECONDS)

    temporal: list[Figure] = []
    if importlib.util.find_spec("temporalio") is None:
        print("Temporal is left out: not installed (the extra `bench`).", file=sys.stderr)
    else:
        temporal = _temporal(await run("temporal", dict(os.environ)))
    quiet = {**on_prefect, "PREFECT_LOGGING_TO_API_ENABLED": "false"}
    return [
        *temporal,
        *_bare(await run("bare_prefect", quiet)),
        *_process_worker(await run("process_worker", on_prefect)),
    ]


def _temporal(found: dict[str, Any]) -> list[Figure]:
    note = "its state is in memory, ours on disk"
    return [
        of("time per step", TEMPORAL, Spread(**found["per_step"]), "s", note),
        of("step to step", TEMPORAL, Spread(**found["step_to_step"]), "s"),
        of("start call to first job", TEMPORAL, Spread(**found["start_to_first"]), "s"),
        Figure("workflows/s, 10 at once", TEMPORAL, found["rate_10"]["rate"], "/s"),
        Figure("workflows/s, 20 at once", TEMPORAL, found["rate_20"]["rate"], "/s"),
        Figure("CPU per instance: its server", TEMPORAL, found["rate_10"]["server_cpu"], "s"),
        of(
            "decision to next job",
            TEMPORAL,
            Spread(**found["signal_to_step"]),
            "s",
            "a signal, to the activity",
        ),
        of("signal to done", TEMPORAL, Spread(**found["signal_to_done"]), "s"),
    ]


def _bare(found: dict[str, Any]) -> list[Figure]:
    note = "five tasks in a row, no deployment, no logs to the API, same Prefect server"
    used = found["rate_10"]["cpu"]
    return [
        of("time per step", BARE, Spread(**found["per_step"]), "s", note),
        Figure("workflows/s, 10 at once", BARE, found["rate_10"]["rate"], "/s"),
        Figure("workflows/s, 20 at once", BARE, found["rate_20"]["rate"], "/s"),
        *(
            Figure(f"CPU per instance: {name}", BARE, used[name], "s")
            for name in ("prefect server", "PostgreSQL")
        ),
    ]


def _process_worker(found: dict[str, Any]) -> list[Figure]:
    note = "six at once, create to all completed"
    return [
        Figure("workflows/s, 10 at once", STOCK, found["rate_six"], "/s", note=note),
        of("create to Running", STOCK, Spread(**found["to_running"]), "s"),
        of("create to Running, six at once", STOCK, Spread(**found["to_running_six"]), "s"),
    ]
