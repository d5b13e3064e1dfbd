"""The jobs of an instance's steps, with the end of what each printed. Changes nothing."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from store import job_views
from store.connection import Tx
from store.job_views import JobRow

TAIL_BYTES = 4096
_ALL_TAILS_BYTES = 256 * 1024


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
    """While queued: what it waits for, and when it is given up."""
    stdout: str
    """The last few kilobytes; all of it is at the job."""
    stderr: str
    duration: float | None
    """Seconds, once it has ended."""


async def of_instance(tx: Tx, instance_id: int) -> dict[tuple[str | None, int | None], list[StepJobView]]:
    """The jobs of every (step, visit)."""
    jobs = await _rows(tx, "WHERE j.instance_id = $1 ORDER BY j.id", instance_id)
    found_tails = await tails(tx, jobs)
    found: dict[tuple[str | None, int | None], list[StepJobView]] = {}
    for job in jobs:
        found.setdefault((job.step_id, job.visit), []).append(_view(job, found_tails))
    return found


async def _rows(tx: Tx, condition: str, *args: object) -> list[JobRow]:
    return [job_views.row_view(row) for row in await tx.fetch(f"{job_views.SELECT} {condition}", *args)]


async def tails(tx: Tx, jobs: Sequence[JobRow]) -> dict[tuple[int, str], str]:
    """The end of both streams of each job's newest attempt; shorter when there are very many jobs."""
    keep = max(256, min(TAIL_BYTES, _ALL_TAILS_BYTES // max(1, len(jobs))))
    rows = await tx.fetch(
        """SELECT w.job_id, s.stream, (
               SELECT string_agg(o.data, ''::bytea ORDER BY o.seq) FROM job_output o
               WHERE o.job_id = w.job_id AND o.attempt = w.attempt AND o.stream = s.stream
                 AND o.byte_offset + octet_length(o.data) > (
                     SELECT l.byte_offset + octet_length(l.data) - $3 FROM job_output l
                     WHERE l.job_id = w.job_id AND l.attempt = w.attempt AND l.stream = s.stream
                     ORDER BY l.seq DESC LIMIT 1)) AS data
           FROM unnest($1::bigint[], $2::int[]) AS w (job_id, attempt)
           CROSS JOIN (VALUES ('stdout'), ('stderr')) AS s (stream)""",
        [job.id for job in jobs],
        [job.attempt for job in jobs],
        keep,
    )
    return {(row["job_id"], row["stream"]): tail_text(row["data"] or b"", keep) for row in rows}


def tail_text(data: bytes, keep: int) -> str:
    """The last `keep` bytes as text, not beginning inside a character."""
    if len(data) > keep:
        data = data[-keep:]
        start = next((at for at in range(min(4, len(data))) if data[at] & 0xC0 != 0x80), 0)
        data = data[start:]
    return data.decode("utf-8", "replace")


def _view(job: JobRow, tails: dict[tuple[int, str], str]) -> StepJobView:
    fields: dict[str, Any] = {
        name: getattr(job, name) for name in StepJobView.model_fields if hasattr(job, name)
    }
    ended = job.ended_at is not None and job.started_at is not None
    return StepJobView(
        **fields,
        stdout=tails.get((job.id, "stdout"), ""),
        stderr=tails.get((job.id, "stderr"), ""),
        duration=(job.ended_at - job.started_at).total_seconds() if ended else None,  # type: ignore[operator]  # `ended`: both are there
    )
