"""Named points at which a test kills the process, to prove that nothing is lost there.

Off unless `OPSGATE_FAILPOINT_FILE=<path>` is set. Then the first process to pass the point whose name
stands in that file renames the file to `<path>.hit` and kills itself with SIGKILL. So a test arms a point
in processes that run already, and it happens once: nobody renames a file twice.
"""

import os
import signal
from pathlib import Path

POINTS: dict[str, str] = {
    "worker.before_dispatch": "a step is about to create its jobs",
    "worker.after_dispatch": "the jobs are committed, nobody waits for them yet",
    "worker.wave_dispatched": "the jobs of a step's next wave are committed, nobody waits for them yet",
    "worker.retry_queued": "the next attempt of a failed job is committed, nobody waits for it yet",
    "worker.deadline_passed": "the jobs of a step are stopped at its deadline, its end is not committed",
    "worker.delay_begun": "the end of a delay is committed, nobody waits for it yet",
    "worker.checkout_requested": "a checkout is committed, nobody waits for it yet",
    "worker.checked_in": "a check-in is committed, the end of its step is not",
    "worker.waiting_hot": "the worker waits for jobs in memory",
    "worker.parked": "the park is committed, Prefect has not suspended the run yet",
    "worker.woken": "the job is complete, the flow is about to read its result",
    "worker.forked": "a parallel step's branches are committed, none has begun",
    "worker.between_steps": "a step's result and the new frontier are committed, the next has not begun",
    "worker.cancelling": "a cancel has been seen, the instance has not ended yet",
    "worker.ended": "the end of the instance is committed, Prefect shows its run as open",
    "web.credential_read": "a credential was read for a job and audited, the agent has not got it",
    "worker.resumed": "an instance that was resumed is taken up, no step of it has begun",
    "rotation.begun": "an identity's turn has come, its vault has not been asked",
    "rotation.vault_turned": "the vault has given a database role a new password, nobody has noted it",
    "rotation.pending_written": "the next password is in the vault as the pending one, no job sets it yet",
    "rotation.job_dispatched": "the job that sets the pending password is committed",
    "rotation.set_on_host": "the host has the pending password, the vault shows the one before as current",
    "rotation.made_current": "the vault shows the new password as current, nobody has noted it",
}
"""Every point and the moment it stands for. Tests assert that each one was hit."""


def failpoint(name: str) -> None:
    """Die here if this point is armed."""
    armed = os.environ.get("OPSGATE_FAILPOINT_FILE")
    if armed is None:
        return
    if name not in POINTS:
        raise ValueError(f"unknown failpoint {name!r}")
    try:
        if Path(armed).read_text(encoding="utf-8") != name:
            return
        os.rename(armed, f"{armed}.hit")
    except FileNotFoundError:
        return  # nothing is armed, or another process came first
    os.kill(os.getpid(), signal.SIGKILL)
