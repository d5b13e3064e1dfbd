"""The jobs of an instance's steps, with the end of what each printed. Changes nothing."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from store import job_tails, job_views
from store.connection import Tx
from store.job_views import JobRow


class StepJobView(BaseModel):
    """A step's job on one host, with the end of what it printed."""

    model_config = ConfigDict(frozen=True)

    id: int
    host: str
    status: str
    attempt: int
    exit_code: int | None
    reason: str
    waits: str | None
    """While it has not started: what it waits for, and when it is given up."""
    stdout: str
    """The last few kilobytes; all of it is at the job."""
    stderr: str
    stdout_truncated: bool
    """It printed more than is kept."""
    stderr_truncated: bool
    duration: float | None
    """Seconds, once it has ended."""


async def of_instance(tx: Tx, instance_id: int) -> dict[tuple[str | None, int | None], list[StepJobView]]:
    """The jobs of every (step, visit)."""
    jobs = await _rows(tx, "WHERE j.instance_id = $1 ORDER BY j.id", instance_id)
    tails = await job_tails.tails(tx, [(job.id, job.attempt) for job in jobs])
    found: dict[tuple[str | None, int | None], list[StepJobView]] = {}
    for job in jobs:
        found.setdefault((job.step_id, job.visit), []).append(_view(job, tails))
    return found


async def _rows(tx: Tx, condition: str, *args: object) -> list[JobRow]:
    return [job_views.row_view(row) for row in await tx.fetch(f"{job_views.SELECT} {condition}", *args)]


def _view(job: JobRow, tails: dict[tuple[int, str], str]) -> StepJobView:
    fields: dict[str, Any] = {
        name: getattr(job, name) for name in StepJobView.model_fields if hasattr(job, name)
    }
    return StepJobView(
        **fields,
        stdout=tails.get((job.id, "stdout"), ""),
        stderr=tails.get((job.id, "stderr"), ""),
    )
