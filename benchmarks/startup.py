"""How long a person waits for the first answer: `opsgate --help`, and the demo."""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figure import OURS, Figure, of
from benchmarks.machine import ROOT
from benchmarks.measure import spread

_HELP_LIMIT_SECONDS = 30
_DEMO_LIMIT_SECONDS = 300


async def _timed(
    command: list[str], limit_seconds: float, environment: dict[str, str] | None = None
) -> float:
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
        cwd=ROOT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), limit_seconds)
    except TimeoutError:
        process.terminate()
        await process.wait()
        raise
    took = time.monotonic() - began
    if process.returncode != 0:
        raise RuntimeError(
            f"{command} ended with {process.returncode}:\n{said.decode(errors='replace')[-3000:]}"
        )
    return took


def _program() -> list[str]:
    beside = Path(sys.executable).with_name("opsgate")
    found = str(beside) if beside.exists() else shutil.which("opsgate")
    return [found] if found else [sys.executable, "-m", "deployments.cli"]


async def measure(quick: bool) -> list[Figure]:
    """Every figure of this part."""
    command = [*_program(), "--help"]
    await _timed(command, _HELP_LIMIT_SECONDS)
    times = [await _timed(command, _HELP_LIMIT_SECONDS) for _ in range(3 if quick else 10)]
    figures = [of("opsgate --help", OURS, spread(times), "s")]
    with tempfile.TemporaryDirectory(prefix="ogb-") as place:
        environment = {**os.environ, "OPSGATE_DATA_DIR": place}
        demo = [str(ROOT / "run"), "demo", "--auto-approve"]
        fresh = await _timed(demo, _DEMO_LIMIT_SECONDS, environment)
        again = await _timed(demo, _DEMO_LIMIT_SECONDS, environment)
    note = "the environment is installed; an empty data folder"
    return [
        *figures,
        Figure("run demo --auto-approve, warm", OURS, fresh, "s", note=note),
        Figure("run demo --auto-approve, second time", OURS, again, "s", note="on the same data"),
    ]
