"""After a restart: end what the last life of the agent left behind. Nothing is ever run again.

Processes are normally killed by their supervisors, which notice the agent's death. Should the
supervisor have been killed as well, the journal names the leader's session; a process that left
the session and outlived its supervisor can't be told from the host's own any more.
"""

import logging
import os
import signal
import time
from pathlib import Path

from agent import processes, workplace
from agent.journal import Entry
from agent.tree import ProcessId

log = logging.getLogger(__name__)

INTERRUPTED = "The agent was stopped or the host went down while it ran."
_SUPERVISOR_SECONDS = 3.0


def kill_remains(entry: Entry) -> None:
    """Kill whatever still runs of a started attempt. Blocks for seconds at worst."""
    if entry.leader is None or entry.supervisor is None or entry.kernel_boot != processes.kernel_boot():
        return
    until = time.monotonic() + _SUPERVISOR_SECONDS
    while _is(entry.supervisor) and time.monotonic() < until:
        time.sleep(0.02)  # it is killing the tree by itself
    for _ in range(50):
        victims = _remains(entry.leader, entry.supervisor)
        if not victims:
            return
        log.warning("%s: killing %d processes that outlived the agent", entry.key, len(victims))
        processes.signal_all(victims, signal.SIGKILL)
        time.sleep(0.02)


def _remains(leader: ProcessId, supervisor: ProcessId) -> list[int]:
    everything = processes.every()
    found: set[int] = set()
    if _is(supervisor):
        found.update((supervisor.pid, *processes.descendants(supervisor.pid, everything)))
    now = processes.look_up(leader.pid)
    if now is None or now.started == leader.started:
        # The number of a session is not given anew while a process is in it.
        for process in everything:
            if process.session == leader.pid and process.started >= leader.started:
                found.update((process.pid, *processes.descendants(process.pid, everything)))
    return sorted(found - {os.getpid()})


def _is(process: ProcessId) -> bool:
    now = processes.look_up(process.pid)
    return now is not None and now.started == process.started


def sweep(folder: Path, held: list[Entry]) -> None:
    """Make the folders, and clear them of what belongs to no held attempt."""
    workplace.clear_all(folder / "work")
    for name in ("spool", "work"):
        (folder / name).mkdir(mode=0o700, exist_ok=True)
    stems = {f"{entry.job_id}-{entry.attempt}" for entry in held}
    for file in (folder / "spool").iterdir():
        if file.stem not in stems:
            file.unlink()
