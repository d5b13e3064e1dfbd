"""Ends processes: `end_processes.py kill|force_kill pid=N|name=NAME AGENT`; AGENT is its pid.

What runs this program is never ended: the agent, its launcher and supervisors, everything they run
in, and process 1. Exit code 0 when all that were meant have ended.

A pid may get another process at any moment. So each process is held by a descriptor first, then looked
at, then signalled by that descriptor: what was looked at later than it was held is the same or nothing.
Standard library and `agent.processes` only; run as a file by itself.
"""

import errno
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Mapping, Set
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from agent import processes

_PATIENCE_SECONDS = 10.0
_NAME_KEPT = 15
"""So much of a process's name the kernel keeps."""
_AT_ONCE = 200
"""How many are held at once: each takes a descriptor, and a process may have few of them."""
_SPARE_DESCRIPTORS = 16
_MOST_ROUNDS = 100
"""So often it looks again for more: what begins new ones for ever is not chased for ever."""


def main() -> int:
    """End what is meant and say of each how it went."""
    action, which, agent = sys.argv[1:4]
    kind, _, wanted = which.partition("=")
    number = signal.SIGTERM if action == "kill" else signal.SIGKILL
    try:
        return (
            _end_pid(int(wanted), number, int(agent))
            if kind == "pid"
            else _end_all(wanted, number, int(agent))
        )
    except OSError as error:
        print(f"It can't be told whether all have ended: {error.strerror}.", file=sys.stderr)
        return 1


def _end_pid(pid: int, number: signal.Signals, agent: int) -> int:
    fd = _hold(pid)
    if pid in _spared(agent):
        print(f"Pid {pid} is the agent or what it runs in: it is not ended.", file=sys.stderr)
        return 1
    if fd is None:
        print(f"There is no process pid {pid}.", file=sys.stderr)
        return 1
    return 0 if _end({pid: fd}, number) else 1


def _end_all(name: str, number: signal.Signals, agent: int) -> int:
    """All of a name, some at a time, until none is found that was not asked yet."""
    spared, most = _spared(agent), _most_at_once()
    asked: set[tuple[int, int]] = set()
    found, stay, good = 0, 0, True
    for _ in range(_MOST_ROUNDS):
        held = _called(name, asked, most)
        meant = {each.pid: fd for each, fd in held.items() if each.pid not in spared}
        found, stay = found + len(meant), stay + len(held) - len(meant)
        asked |= {(each.pid, each.started) for each in held}
        good = _end(meant, number) and good
        for fd in held.values():
            os.close(fd)
        if not held:
            break
    else:
        print(f"More processes named {name} keep beginning.", file=sys.stderr)
        good = False
    if stay:
        print(f"{stay} of this name are the agent or what it runs in: they stay.")
    if not found:
        print(f"There is no process name {name}.", file=sys.stderr)
    return 0 if found and good else 1


def _end(held: Mapping[int, int], number: signal.Signals) -> bool:
    """Whether all of these, by descriptor, have ended. All are asked before any is waited for."""
    until = time.monotonic() + _PATIENCE_SECONDS
    asked = [_ask(pid, fd, number) for pid, fd in held.items()]
    waited = [_wait(pid, fd, until) for (pid, fd), good in zip(held.items(), asked, strict=True) if good]
    return all(asked) and all(waited)


def _most_at_once() -> int:
    """As many as there are descriptors for, and some to look about with."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _AT_ONCE if allowed < 0 else max(1, min(_AT_ONCE, allowed - _SPARE_DESCRIPTORS))


def _hold(pid: int) -> int | None:
    """A descriptor of this process, which means it and no later one of this number; None: there is none."""
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        # Nothing has this number, or only a thread, which newer kernels say in a way of its own.
        if error.errno in (errno.ESRCH, errno.EINVAL, errno.ENOENT):
            return None
        raise


def _called(name: str, asked: Set[tuple[int, int]], most: int) -> dict[processes.Process, int]:
    """The processes of this name, oldest first and at most so many, each held before it was looked at."""
    called: dict[processes.Process, int] = {}
    for each in sorted(processes.every(), key=lambda each: each.started):
        fd = None if (each.pid, each.started) in asked or len(called) == most else _hold(each.pid)
        if fd is None:
            continue
        if _is_called(each.pid, name):
            called[each] = fd
        else:
            os.close(fd)
    return called


def _is_called(pid: int, name: str) -> bool:
    try:
        kept = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").rstrip("\n")
        if kept != name[:_NAME_KEPT]:
            return False
        first = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise
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
    poll = select.poll()  # takes every descriptor; `select` only the first 1024
    poll.register(fd, select.POLLIN)
    if poll.poll(max(0.0, until - time.monotonic()) * 1000):
        print(f"Pid {pid} has ended.")
        return True
    print(f"Pid {pid} still runs; force_kill does not ask.", file=sys.stderr)
    return False


if __name__ == "__main__":
    sys.exit(main())
