"""Named points at which a test kills the process, to prove that nothing is lost there.

Off unless `OPSGATE_FAILPOINT=<name>` and `OPSGATE_FAILPOINT_FILE=<path>` are set; then the first
process to pass the point notes it in the file and kills itself with SIGKILL. The file makes it
happen once: a process that finds it passes by.
"""

import os
import signal

POINTS: dict[str, str] = {
    "worker.before_dispatch": "a step is about to create its jobs",
    "worker.after_dispatch": "the jobs are committed, nobody waits for them yet",
    "worker.wave_dispatched": "the jobs of a step's next wave are committed, nobody waits for them yet",
    "worker.retry_queued": "the next attempt of a failed job is committed, nobody waits for it yet",
    "worker.deadline_passed": "the jobs of a step are stopped at its deadline, its end is not committed",
    "worker.delay_begun": "the end of a delay is committed, nobody waits for it yet",
    "worker.waiting_hot": "the worker waits for jobs in memory",
    "worker.parked": "the park is committed, Prefect has not suspended the run yet",
    "worker.woken": "the job is complete, the flow is about to read its result",
    "worker.forked": "a parallel step's branches are committed, none has begun",
    "worker.between_steps": "a step's result and the new frontier are committed, the next has not begun",
    "worker.cancelling": "a cancel has been seen, the instance has not ended yet",
    "worker.ended": "the end of the instance is committed, Prefect shows its run as open",
    "worker.resumed": "an instance that was resumed is taken up, no step of it has begun",
}
"""Every point and the moment it stands for. Tests assert that each one was hit."""


def failpoint(name: str) -> None:
    """Die here if this point is switched on and has not been hit yet."""
    if os.environ.get("OPSGATE_FAILPOINT") != name:
        return
    if name not in POINTS:
        raise ValueError(f"unknown failpoint {name!r}")
    try:
        with open(os.environ["OPSGATE_FAILPOINT_FILE"], "x", encoding="utf-8") as mark:
            mark.write(f"{name} {os.getpid()}\n")
            mark.flush()
            os.fsync(mark.fileno())
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
