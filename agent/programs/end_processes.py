"""Ends processes: `end_processes.py kill|force_kill pid=N|name=NAME AGENT`; AGENT is its pid.

What runs this program is never ended: the agent, its launcher and supervisors, everything they run
in, and process 1. Exit code 0 when all that were meant have ended.

A pid may get another process at any moment. So each process is held by a descriptor first, then looked
at, then signalled by that descriptor: what was looked at later than it was held is the same or nothing.
Standard library and `agent.processes` only; run as a file by itself.
"""

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from agent import processes

_PATIENCE_SECONDS = 10.0
_NAME_KEPT = 15
"""So much of a process's name the kernel keeps."""


def main() -> int:
    """End what is meant and say of each how it went."""
    action, which, agent = sys.argv[1:4]
    kind, _, wanted = which.partition("=")
    number = signal.SIGTERM if action == "kill" else signal.SIGKILL
    held = _hold([int(wanted)]) if kind == "pid" else _called(wanted)
    spared = _spared(int(agent))
    if kind == "pid" and int(wanted) in spared:
        print(f"Pid {wanted} is the agent or what it runs in: it is not ended.", file=sys.stderr)
        return 1
    meant = {pid: fd for pid, fd in held.items() if pid not in spared}
    if len(meant) < len(held):
        print(f"{len(held) - len(meant)} of this name are the agent or what it runs in: they stay.")
    if not meant:
        print(f"There is no process {which.replace('=', ' ')}.", file=sys.stderr)
        return 1
    until = time.monotonic() + _PATIENCE_SECONDS
    asked = [_ask(pid, fd, number) for pid, fd in meant.items()]
    # All are asked before any is waited for.
    waited = [_wait(pid, fd, until) for (pid, fd), good in zip(meant.items(), asked, strict=True) if good]
    return 0 if all(asked) and all(waited) else 1


def _hold(pids: Iterable[int]) -> dict[int, int]:
    """A descriptor of each that there is: it means this process and no later one of the same number."""
    held = {}
    for pid in pids:
        with contextlib.suppress(OSError):  # nothing has this number, or only a thread
            held[pid] = os.pidfd_open(pid)
    return held


def _called(name: str) -> dict[int, int]:
    """The processes of this name, oldest first, each held before it was looked at."""
    called = {}
    for each in sorted(processes.every(), key=lambda each: each.started):
        for pid, fd in _hold([each.pid]).items():
            if _is_called(pid, name):
                called[pid] = fd
            else:
                os.close(fd)
    return called


def _is_called(pid: int, name: str) -> bool:
    try:
        kept = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").rstrip("\n")
        if kept != name[:_NAME_KEPT]:
            return False
        first = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
    except OSError:
        return False  # it has just ended
    return len(name) <= _NAME_KEPT or first.rpartition("/")[2] == name


def _spared(agent: int) -> set[int]:
    """This process and all above it, process 1, and the agent with what watches over its other jobs."""
    parents = {process.pid: process.parent for process in processes.every()}
    spared = {1, agent}
    for pid in (os.getpid(), agent):
        while pid > 0:
            spared.add(pid)
            pid = parents.get(pid, 0)
    launchers = [pid for pid in spared if parents.get(pid) == agent]
    return spared | {pid for pid, parent in parents.items() if parent in launchers}


def _ask(pid: int, fd: int, number: signal.Signals) -> bool:
    try:
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return True
    except PermissionError:
        print(f"Pid {pid} belongs to another user: the job needs elevation.", file=sys.stderr)
        return False
    return True


def _wait(pid: int, fd: int, until: float) -> bool:
    if select.select([fd], [], [], max(0.0, until - time.monotonic()))[0]:
        print(f"Pid {pid} has ended.")
        return True
    print(f"Pid {pid} still runs; force_kill does not ask.", file=sys.stderr)
    return False


if __name__ == "__main__":
    sys.exit(main())
