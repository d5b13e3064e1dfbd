"""Runs one attempt's processes to their end: by themselves, by timeout, or because they are stopped.

When the leader has ended, what it left behind is killed too, after a moment in which pipes may
run dry: a job's processes end with the job, so nothing outlives the credential it was given. What
must go on belongs to the host's service manager; only jobs that do what one does (a SysV service
started, a package that starts its daemon) leave something running.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from agent.output import StreamOutput
from agent.protocol import Outcome
from agent.tree import ProcessTree

TERMINATE_SECONDS = 5.0
"""Between SIGTERM and SIGKILL after a timeout."""
CANCEL_GRACE_SECONDS = 0.5
"""The same when a person cancels: the tree is gone within a second."""
_LINGER_SECONDS = 1.0
"""How long what the leader left behind may go on writing."""
_EMPTY_SECONDS = 15.0
"""How long killing may take before the rest is called stuck."""


@dataclass(frozen=True)
class Stop:
    """Why a running attempt is stopped, and how long it may take to end by itself."""

    outcome: Outcome
    reason: str
    grace_seconds: float


@dataclass(frozen=True)
class Ending:
    """How an attempt ended."""

    outcome: Outcome
    exit_code: int | None = None
    reason: str = ""
    duration_seconds: float = 0.0


async def run(
    tree: ProcessTree,
    outputs: tuple[StreamOutput, StreamOutput],
    timeout_seconds: float,
    stop: "asyncio.Future[Stop]",
) -> Ending:
    """Wait for the end and bring it about when it must be; no process is left afterwards."""
    begun = time.monotonic()
    pumps = [
        asyncio.create_task(outputs[0].pump(tree.stdout)),
        asyncio.create_task(outputs[1].pump(tree.stderr)),
    ]
    exited = asyncio.create_task(tree.exited.wait())
    try:
        ends: list[asyncio.Future[Any]] = [exited, stop]
        await asyncio.wait(ends, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
        ended_alone = exited.done()
        ending = _ending(tree, timeout_seconds, stop, ended_alone=ended_alone)
        if ended_alone:
            await asyncio.wait(pumps, timeout=_LINGER_SECONDS)
            if tree.leaves_running:
                tree.release()
                await _happens(tree.empty, _EMPTY_SECONDS)
        else:
            tree.terminate()
            await _happens(tree.empty, stop.result().grace_seconds if stop.done() else TERMINATE_SECONDS)
        duration = time.monotonic() - begun
        if not tree.empty.is_set():
            tree.kill()
            await _happens(tree.empty, _EMPTY_SECONDS)
        await asyncio.wait(pumps, timeout=_LINGER_SECONDS)
        reason = ending.reason
        if tree.stuck:
            reason = f"{reason} {tree.stuck} of its processes could not be killed.".strip()
        return Ending(ending.outcome, ending.exit_code, reason, duration)
    finally:
        for task in (*pumps, exited):
            task.cancel()
        await asyncio.gather(*pumps, exited, return_exceptions=True)
        await tree.close()


def _ending(
    tree: ProcessTree, timeout_seconds: float, stop: "asyncio.Future[Stop]", *, ended_alone: bool
) -> Ending:
    if ended_alone:
        if tree.exit_code is None:
            return Ending("interrupted", reason="The process that watched over the job was killed.")
        return Ending("exited", tree.exit_code)
    if stop.done():
        return Ending(stop.result().outcome, reason=stop.result().reason)
    return Ending("timeout", reason=f"It ran longer than its timeout of {timeout_seconds:g} seconds.")


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
