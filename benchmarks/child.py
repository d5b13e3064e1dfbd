"""Runs one measurement as a process of its own and reads the JSON it prints last.

So a peer's client library, its settings and its threads can't disturb the next one.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT


class MeasurementFailed(Exception):
    """A child ended badly or printed no figures."""


async def measured(
    module: str,
    *arguments: str,
    environment: Mapping[str, str],
    limit_seconds: float,
    folder: Path = ROOT,
) -> dict[str, Any]:
    """Run `python -m MODULE ARGUMENTS`; its last line of output is a JSON object of figures."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(environment),
        cwd=folder,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), limit_seconds)
    except (TimeoutError, asyncio.CancelledError):
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
        raise
    lines = out.decode().strip().splitlines()
    if process.returncode != 0 or not lines:
        raise MeasurementFailed(f"{module} ended with {process.returncode}:\n{err.decode()[-3000:]}")
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer
