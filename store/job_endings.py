"""How an attempt of a job ends: the one place that writes it, whoever ended it.

Lock order, everywhere: the instance, then its job. The engine and a cancel take the instance
first; whoever ends a job wakes its instance, so it takes that row before the job's.
"""

from collections.abc import Collection

from definitions.lifecycles.job import RETRYABLE, JobStatus
from store import channels
from store.connection import Row, Tx
from store.wakes import notify, wake_instance


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
    """End the current attempt of a locked job, keep it in the history, wake who waits for it.

    Its secret values go with it, unless it may be retried (`store.sealed_values`).
    """
    await tx.execute(
        f"""WITH ended AS (
               UPDATE jobs
               SET status = $2, reason = $3, outcome = $4, exit_code = $5, ended_at = clock_timestamp(),
                   sealed_values = CASE WHEN $7 THEN sealed_values END
               WHERE id = $1 RETURNING *)
           INSERT INTO job_attempts (job_id, attempt, agent_id, status, outcome, exit_code, reason,
                                     claimed_at, started_at, ended_at, report_sha256)
           SELECT id, attempt, agent_id, status, outcome, exit_code, reason,
                  claimed_at, started_at, ended_at, $6 FROM ended
           RETURNING {channels.telling("job", "job_id")}""",
        job["id"],
        str(status),
        reason,
        outcome,
        exit_code,
        report_sha256,
        status in RETRYABLE,
    )
    if job["instance_id"] is not None:
        await wake_instance(tx, job["instance_id"])


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
