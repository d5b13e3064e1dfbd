"""Linux processes, read from /proc: who descends from whom, and how to signal them.

Standard library only: the supervisor uses it in a process that never loads the rest of the agent.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One live process. `started` tells it from a later one with the same pid."""

    pid: int
    parent: int
    session: int
    started: int


def kernel_boot() -> str:
    """An id of this boot of the machine: pids mean nothing after the next."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def look_up(pid: int) -> Process | None:
    """The process with this pid, if it lives (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name stands in parentheses and may itself hold spaces and parentheses.
    fields = stat[stat.rindex(b")") + 2 :].split()
    if fields[0] in (b"Z", b"X"):
        return None
    return Process(pid, parent=int(fields[1]), session=int(fields[3]), started=int(fields[19]))


def start_of(pid: int) -> int:
    """The start time of a process of ours that may already be a zombie; 0 when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    return int(stat[stat.rindex(b")") + 2 :].split()[19])


def every() -> list[Process]:
    """Every process on this machine that can be seen."""
    found = (look_up(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [process for process in found if process is not None]


def descendants(ancestor: int, processes: Iterable[Process]) -> list[int]:
    """The pids of all processes below this one, whatever session or group they moved to."""
    children: dict[int, list[int]] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process.pid)
    found: list[int] = []
    waiting = list(children.get(ancestor, ()))
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting.extend(children.get(pid, ()))
    return found


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Send the signal to each; those of another user (an elevated job's) by way of sudo."""
    foreign: list[int] = []
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
        except PermissionError:
            foreign.append(pid)
    if foreign:
        command = ["sudo", "-n", "--", "kill", f"-{number.value}", *(str(pid) for pid in foreign)]
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=5, check=False)
