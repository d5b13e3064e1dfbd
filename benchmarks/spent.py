"""What the parts of the stack use: CPU seconds and memory, by process.

A part is a process with its descendants. PostgreSQL's backends come and go: what a dead one
used is in its parent's children times, so nothing is lost between two readings.
"""

import os
from collections.abc import Mapping

import psutil

PIDS = "OPSGATE_BENCH_PIDS"
"""How a child is told which processes to watch: `name=pid,name=pid`."""


def in_environment(pids: Mapping[str, int]) -> dict[str, str]:
    """For a child's environment."""
    return {PIDS: ",".join(f"{name}={pid}" for name, pid in pids.items())}


def watched() -> dict[str, int]:
    """What this process was told to watch."""
    told = os.environ.get(PIDS, "")
    return {name: int(pid) for name, pid in (entry.split("=") for entry in told.split(",") if entry)}


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def _family(pid: int) -> list[psutil.Process]:
    top = psutil.Process(pid)
    return [top, *top.children(recursive=True)]


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds each part has used since it started."""
    return {name: sum(_seconds(process) for process in _family(pid)) for name, pid in pids.items()}


def since(before: Mapping[str, float], pids: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds each part has used since `before`."""
    return {name: seconds - before[name] for name, seconds in cpu_seconds(pids).items()}


def memory(pids: Mapping[str, int]) -> dict[str, int]:
    """Resident bytes of each part's main process (PostgreSQL's shared pages would count many times)."""
    return {name: psutil.Process(pid).memory_info().rss for name, pid in pids.items()}
