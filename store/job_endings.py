"""How an attempt of a job ends: the one place that writes it, whoever ended it.

The instance is locked, then its job: the engine and a cancel take the instance first; whoever ends a job
wakes its instance, so it takes that row before the job's. The order of all locks is in `store.checkouts`.
"""

from collections.abc import Collection
from typing import NamedTuple

from definitions.lifecycles.job import RETRYABLE, JobStatus
from store import channels
from store.connection import Database, Row, Tx
from store.wakes import notify, wake_instance

_HISTORY = f"""INSERT INTO job_attempts (job_id, attempt, agent_id, status, outcome, exit_code, reason,
                                          claimed_at, started_at, ended_at, report_sha256)
    SELECT id, attempt, agent_id, status, outcome, exit_code, reason, claimed_at, started_at, ended_at, $6
    FROM ended RETURNING {channels.telling("job", "job_id")}"""
"""Keeps the attempt that a statement's `ended` has ended; $6 is the report's SHA-256."""

_OUTCOME = f"""status = $2, reason = $3, outcome = $4, exit_code = $5, ended_at = clock_timestamp(),
    sealed_values = CASE WHEN $2 = ANY ('{{{",".join(sorted(RETRYABLE))}}}'::text[]) THEN sealed_values END"""
"""Its secret values go with a job, unless it may be retried (`store.sealed_values`)."""

_END = f"""WITH ended AS (
        UPDATE jobs SET {_OUTCOME} WHERE id = $1 RETURNING *)
    {_HISTORY}"""

# Nobody waits for a job of no instance, so there is no other row to lock before it: what takes a
# transaction of seven calls otherwise is one here, and nearly every report is of this kind.
_END_ALONE = f"""WITH said AS (
        SELECT $9::bytea AS out, length($9::bytea) AS out_length,
               $12::bytea AS err, length($12::bytea) AS err_length),
    ended AS (
        UPDATE jobs SET {_OUTCOME},
            stdout_length = stdout_length + out_length, stderr_length = stderr_length + err_length,
            stdout_truncated = stdout_truncated OR $10::boolean OR $11::bigint > stdout_length + out_length,
            stderr_truncated = stderr_truncated OR $13::boolean OR $14::bigint > stderr_length + err_length
        FROM said
        WHERE id = $1 AND attempt = $7 AND agent_id = $8 AND status = 'running' AND instance_id IS NULL
          AND (out_length = 0 OR stdout_length = 0) AND (err_length = 0 OR stderr_length = 0)
        RETURNING jobs.*),
    printed AS (
        INSERT INTO job_output (job_id, attempt, stream, seq, byte_offset, data)
        SELECT id, attempt, s.stream, 0, 0, s.data
        FROM ended, said, LATERAL (VALUES ('stdout', out), ('stderr', err)) AS s (stream, data)
        WHERE length(s.data) > 0)
    {_HISTORY}"""


class Printed(NamedTuple):
    """What a report says of a stream: bytes that came with it, whether some are missing, all there were."""

    data: bytes
    truncated: bool
    total: int


async def lock(tx: Tx, job_id: int) -> Row | None:
    """The job's row, locked until the transaction ends; None if there is no such job."""
    await tx.execute(
        "SELECT 1 FROM instances WHERE id = (SELECT instance_id FROM jobs WHERE id = $1) FOR UPDATE", job_id
    )
    return await tx.fetchrow("SELECT * FROM jobs WHERE id = $1 FOR UPDATE", job_id)


async def end(
    tx: Tx,
    job: Row,
    status: JobStatus,
    reason: str,
    *,
    outcome: str | None = None,
    exit_code: int | None = None,
    report_sha256: bytes | None = None,
) -> None:
    """End the current attempt of a locked job, keep it in the history, wake who waits for it."""
    await tx.execute(_END, job["id"], str(status), reason, outcome, exit_code, report_sha256)
    if job["instance_id"] is not None:
        await wake_instance(tx, job["instance_id"])


async def end_alone(
    db: Database,
    job_id: int,
    attempt: int,
    agent_id: int | None,
    status: JobStatus,
    reason: str,
    *,
    outcome: str,
    exit_code: int | None,
    report_sha256: bytes,
    stdout: Printed,
    stderr: Printed,
) -> bool:
    """End a running attempt of this agent, of a job that belongs to no instance, with its last output.

    False, and nothing is changed, if it is no such attempt or some output of a stream came before.
    """
    ended = await db.fetchrow(
        _END_ALONE,
        job_id,
        str(status),
        reason,
        outcome,
        exit_code,
        report_sha256,
        attempt,
        agent_id,
        *stdout,
        *stderr,
    )
    return ended is not None


async def announce(tx: Tx, job_id: int) -> None:
    """Tell pages that show the job to look again."""
    await notify(tx, channels.EVENTS, f"job:{job_id}")


async def release(tx: Tx, agent_id: int | None, held: Collection[tuple[int, int]], why: str) -> list[int]:
    """Take back what an agent process has lost, that is all but the attempts it still holds.

    What it had only claimed is queued again, as the same attempt. What it had started has failed,
    for nobody can know how far it came: the ids of these jobs.
    """
    failed: list[int] = []
    rows = await tx.fetch(
        """SELECT id, attempt FROM jobs WHERE agent_id = $1 AND status IN ('pending', 'running')
           ORDER BY instance_id, id""",
        agent_id,
    )
    for lost in rows:
        job = await lock(tx, lost["id"]) if (lost["id"], lost["attempt"]) not in held else None
        if job is None or job["agent_id"] != agent_id:
            continue
        if job["status"] == JobStatus.PENDING:
            await tx.execute(
                """UPDATE jobs SET status = 'queued', agent_id = NULL, request_id = NULL, claimed_at = NULL
                   WHERE id = $1""",
                job["id"],
            )
            await announce(tx, job["id"])
            await notify(tx, channels.JOBS, str(job["host_id"]))
        elif job["status"] == JobStatus.RUNNING:
            await end(tx, job, JobStatus.FAILED, why, outcome="interrupted")
            failed.append(job["id"])
    return failed
