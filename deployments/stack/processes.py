"""Runs the child processes of the stack: starts, watches, restarts, stops them.

Each child leads its own process group, writes into its own log, gets a built environment (no secret
in it), and is ended by the kernel when the stack itself is killed. Knows nothing of what a child does.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from definitions.errors import Unavailable

_PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None

RESTARTS = 5
"""A child that dies more often than this within `RESTART_WINDOW` seconds is given up."""
RESTART_WINDOW = 120.0


@dataclass(frozen=True)
class Child:
    """How to run one part."""

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    user: int | None = None
    """Run as this user id, with the group of the same number and no others."""
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals | None = None
    """What the kernel sends when the stack itself is killed; None: the stop signal."""
    patience: float = 10.0
    """Seconds between asking to stop and killing."""


class Processes:
    """The children of one stack, in the order they were started."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._children: dict[str, Child] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self.gave_up: asyncio.Future[Child] = asyncio.get_running_loop().create_future()

    async def start(self, child: Child) -> None:
        """Start a child and keep it running until `stop`."""
        self._children[child.name] = child
        process = await self._spawn(child)
        self._watchers[child.name] = asyncio.create_task(self._watch(child, process), name=child.name)

    async def replace(self, child: Child) -> None:
        """Stop the child of this name, if there is one, and run this one instead."""
        if child.name in self._children:
            await self._stop_one(child.name)
        await self.start(child)

    async def remove(self, name: str) -> None:
        """Stop a child and keep it no longer."""
        await self._stop_one(name)
        del self._children[name]

    def child(self, name: str) -> Child:
        """How a child is run; KeyError if there is none of this name."""
        return self._children[name]

    def pid(self, name: str) -> int | None:
        """The process id of a child that runs now."""
        process = self._running.get(name)
        return process.pid if process is not None and process.returncode is None else None

    async def stop(self) -> None:
        """Stop every child, the last started first, and wait until each is gone."""
        self._stopping = True
        for name in reversed(list(self._children)):
            await self._stop_one(name)

    async def _stop_one(self, name: str) -> None:
        child = self._children[name]
        # The watcher first, or it would start the child again.
        watcher = self._watchers.pop(name, None)
        if watcher is not None:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
        process = self._running.get(name)
        if process is not None and process.returncode is None:
            _signal_process(process.pid, child.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), child.patience)
            except TimeoutError:
                _signal_group(process.pid, signal.SIGKILL)
                await process.wait()

    async def _spawn(self, child: Child) -> asyncio.subprocess.Process:
        with child.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *child.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(child.environment),
                cwd=child.folder,
                start_new_session=True,
                user=child.user,
                group=child.user,
                extra_groups=None if child.user is None else [],
                preexec_fn=_die_with_parent(child.death_signal or child.stop_signal),
            )
        self._running[child.name] = process
        return process

    async def _try_spawn(self, child: Child) -> asyncio.subprocess.Process | None:
        """None if the machine has no process or memory to spare now: that is tried again as a death is."""
        try:
            return await self._spawn(child)
        except (OSError, subprocess.SubprocessError) as error:
            with contextlib.suppress(OSError), child.log.open("a", encoding="utf-8") as log:
                log.write(f"The {child.name} process could not be started again: {error}\n")
            return None

    async def _watch(self, child: Child, process: asyncio.subprocess.Process | None) -> None:
        clock = asyncio.get_running_loop().time
        deaths: list[float] = []
        while True:
            if process is not None:
                await process.wait()
            if self._stopping:
                return
            deaths = [at for at in deaths if clock() - at < RESTART_WINDOW] + [clock()]
            if len(deaths) > RESTARTS:
                if not self.gave_up.done():
                    self.gave_up.set_result(child)
                return
            await asyncio.sleep(min(5.0, 0.2 * 2 ** (len(deaths) - 1)))
            process = await self._try_spawn(child)

    async def until(self, ready: Callable[[], bool], what: Child, seconds: float) -> None:
        """Wait until a part answers; fail with a pointer to its log when it does not."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        while not await asyncio.to_thread(ready):
            if self.gave_up.done():
                raise given_up(self.gave_up.result())
            if clock() > deadline:
                raise Unavailable(f"The {what.name} did not answer within {seconds:.0f} s. See {what.log}")
            await asyncio.sleep(0.1)


def given_up(child: Child) -> Unavailable:
    """The error for a child that keeps dying."""
    return Unavailable(
        f"The {child.name} process ended {RESTARTS + 1} times in a row and was given up. See {child.log}"
    )


def _die_with_parent(sign: signal.Signals) -> Callable[[], None] | None:
    """What the child runs between fork and exec, after it took its user id (which clears the setting)."""
    if _prctl is None:
        return None
    parent, prctl = os.getpid(), _prctl

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, int(sign), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return ask_kernel


def _signal_process(pid: int, sign: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sign)


def _signal_group(pid: int, sign: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, sign)
