"""Jobs: one piece of work for one host. What people do to them, and the primitive that makes them.

The agent's side is in `claims` and `job_reports`, deadlines in `job_deadlines`, output in
`job_output`, the views in `job_views`, lists in `job_lists`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from agent.payloads import Payload
from definitions.errors import Conflict, Invalid, NotFound
from definitions.job_types import ALWAYS_CRITICAL, CRITICAL, PRIORITY, read_payload, take_secrets
from definitions.lifecycles.job import CANCELLABLE, ENDED, RETRYABLE, JobStatus
from definitions.permissions import Actor, require
from definitions.secret_values import SecretValues
from store import audit, channels, job_checkouts, job_endings, job_views, sealed_values, targets, visits
from store.connection import Database, Row, Tx
from store.job_deadlines import fail_stale as fail_stale
from store.job_deadlines import time_out_running as time_out_running
from store.job_leaks import printed_credential as printed_credential
from store.job_lists import listing as listing
from store.job_reports import report as report
from store.job_views import JobRow, JobView
from store.sealing import SealingKeys
from store.visits import Visits
from store.wakes import notify


class NewJob(NamedTuple):
    """A job to make. `scheduled_at` None, or a moment that has passed: now."""

    type: str
    host_id: int
    payload: Payload
    priority: int
    scheduled_at: datetime | None = None
    script_id: int | None = None
    script_version: int | None = None
    libraries: Sequence[Mapping[str, Any]] = ()
    """In front of the script: id, name and version of each."""
    execution_id: int | None = None
    secrets: SecretValues | None = None
    """By variable, exactly those that the payload names."""
    checkout_id: int | None = None
    """What it runs by, as the identity checked out."""


async def insert(
    tx: Tx,
    actor_name: str,
    created_by: int | None,
    jobs: Sequence[NewJob],
    instance_id: int | None = None,
    step_id: str | None = None,
    visit: int | None = None,
    branch: str = "",
    keys: SealingKeys | None = None,
) -> list[int]:
    """Make jobs, in the order given, and ring for their hosts' agents. `keys` seal their secrets.

    A primitive: permission and audit are the caller's. For a step it may be called again: a job
    that this visit of the step already has on a host is returned, not made twice.
    """
    ids: list[int] = []
    for job in jobs:
        job_id = await tx.fetchval(
            """INSERT INTO jobs (type, host_id, payload, timeout_seconds, priority, scheduled_at, script_id,
                                 script_version, created_by_name, created_by, instance_id, step_id, visit,
                                 branch, libraries, execution_id, checkout_id)
               VALUES ($1, $2, $3, $4, $5, greatest($6, now()), $7, $8, $9, $10, $11, $12, $13, $15, $16, $17,
                       $18)
               ON CONFLICT (instance_id, step_id, visit, host_id) WHERE instance_id IS NOT NULL DO NOTHING
               RETURNING id, pg_notify($14, host_id::text)""",
            job.type,
            job.host_id,
            job.payload.model_dump(mode="json"),
            job.payload.timeout_seconds,
            job.priority,
            job.scheduled_at,
            job.script_id,
            job.script_version,
            actor_name,
            created_by,
            instance_id,
            step_id,
            visit,
            channels.JOBS,
            branch,
            list(job.libraries),
            job.execution_id,
            job.checkout_id,
        )
        if job_id is not None and job.secrets:
            await sealed_values.keep_of_job(tx, keys, job_id, job.secrets)
        if job_id is None:
            job_id = await tx.fetchval(
                "SELECT id FROM jobs WHERE instance_id = $1 AND step_id = $2 AND visit = $3 AND host_id = $4",
                instance_id,
                step_id,
                visit,
                job.host_id,
            )
        ids.append(job_id)
    return ids


async def dispatch(
    db: Database,
    actor: Actor,
    type: str,
    hosts: Sequence[str | int],
    payload: Mapping[str, Any],
    priority: int | None = None,
    scheduled_at: datetime | None = None,
    secrets: Mapping[str, object] | None = None,
) -> list[int]:
    """Make one job a host, by hand. `secrets`, by name, are sealed for each of them."""
    async with db.transaction() as tx:
        return await dispatch_in(tx, db.keys, actor, type, hosts, payload, priority, scheduled_at, secrets)


async def dispatch_in(
    tx: Tx,
    keys: SealingKeys | None,
    actor: Actor,
    type: str,
    hosts: Sequence[str | int],
    payload: Mapping[str, Any],
    priority: int | None = None,
    scheduled_at: datetime | None = None,
    secrets: Mapping[str, object] | None = None,
) -> list[int]:
    """`dispatch` in the caller's transaction: for the ticks of recurring jobs too."""
    require(actor, "jobs.manage")
    checked, sealed = _checked(type, payload, secrets or {})
    if type in ALWAYS_CRITICAL or priority is None:
        priority = CRITICAL if type in ALWAYS_CRITICAL else PRIORITY[type]
    found = await targets.resolve(tx, hosts)
    new = [NewJob(type, host.id, checked, priority, scheduled_at, secrets=sealed) for host in found]
    ids = await insert(tx, actor.name, actor.person, new, keys=keys)
    for job_id, host in zip(ids, found, strict=True):
        await audit.record(tx, actor, "job.dispatch", "job", job_id, type=type, host=host.name)
    return ids


async def cancel(db: Database, actor: Actor, job_id: int) -> JobView:
    """Stop a job: at once if it has not started, otherwise by telling the agent."""
    require(actor, "jobs.manage")
    async with db.transaction() as tx:
        job = await _locked(tx, job_id)
        if job["status"] not in CANCELLABLE:
            raise Conflict(f"Job {job_id} has ended as {job['status']}; there is nothing to cancel.")
        await stop(tx, job, f"Cancelled by {actor.name}.")
        await audit.record(tx, actor, "job.cancel", "job", job_id)
        return await _view(tx, job_id)


async def cancel_of_instance(tx: Tx, instance_id: int, reason: str, steps: Visits | None = None) -> int:
    """Stop every unfinished job of an instance whose row the caller has locked, or of some of its steps;
    how many there were."""
    rows = await tx.fetch(
        f"""SELECT * FROM jobs WHERE instance_id = $1 AND status IN ('queued', 'pending', 'running')
              AND {visits.OF_VISITS} ORDER BY id FOR UPDATE""",
        instance_id,
        *visits.columns(steps),
    )
    for job in rows:
        await stop(tx, job, reason)
    return len(rows)


async def retry(db: Database, actor: Actor, job_id: int) -> JobView:
    """Run a failed job once more, as its next attempt."""
    require(actor, "jobs.manage")
    async with db.transaction() as tx:
        job = await _locked(tx, job_id)
        if job["status"] not in RETRYABLE:
            raise Conflict(
                f"Job {job_id} is {job['status']}; only one that failed or timed out can be retried."
            )
        if job["instance_id"] is not None and await _settled(tx, job):
            raise Conflict(
                f"Job {job_id} belongs to step {job['step_id']} of instance {job['instance_id']}, which has "
                "gone on without it: resume the instance instead."
            )
        if sealed_values.are_erased(job):
            raise Conflict(
                f"The secret values of job {job_id} are erased, at the latest {sealed_values.RETRY_DAYS} "
                "days after its end: dispatch it anew, and give them."
            )
        if not await targets.by_ids(tx, [job["host_id"]]):
            raise Conflict(f"The host of job {job_id} was decommissioned; nobody would pick it up.")
        checkout = await job_checkouts.once_more(tx, actor, job)
        await requeue(tx, job_id)
        detail = {"attempt": job["attempt"] + 1} | ({} if checkout is None else {"checkout": checkout})
        await audit.record(tx, actor, "job.retry", "job", job_id, **detail)
        return await _view(tx, job_id)


async def requeue(tx: Tx, job_id: int, delay_seconds: float = 0) -> int:
    """Queue the next attempt of a failed or timed-out job: for `retry`, and for a step's own retries.
    Returns the number of the attempt."""
    queued = await tx.fetchrow(
        """UPDATE jobs
           SET status = 'queued', attempt = attempt + 1, scheduled_at = now() + $2, agent_id = NULL,
               request_id = NULL, claimed_at = NULL, started_at = NULL, ended_at = NULL,
               cancel_requested_at = NULL, cancel_told_at = NULL, outcome = NULL, exit_code = NULL,
               reason = '', stdout_length = 0, credential_tries = 0, claim_after = NULL,
               stderr_length = 0, stdout_truncated = false, stderr_truncated = false
           WHERE id = $1 RETURNING host_id, attempt""",
        job_id,
        timedelta(seconds=delay_seconds),
    )
    assert queued is not None
    await job_endings.announce(tx, job_id)
    await notify(tx, channels.JOBS, str(queued["host_id"]))
    attempt: int = queued["attempt"]
    return attempt


async def delete(db: Database, actor: Actor, job_id: int) -> None:
    """Remove the record of a job that has ended. The audit trail keeps that there was one."""
    require(actor, "jobs.manage")
    async with db.transaction() as tx:
        job = await _locked(tx, job_id)
        if job["status"] not in ENDED:
            raise Conflict(f"Job {job_id} is {job['status']}; cancel it first.")
        detail = {"type": job["type"], "status": job["status"]}
        if job["instance_id"] is not None:
            await _leave_instance(tx, job)
            detail |= {"instance": job["instance_id"], "step": job["step_id"]}
        await tx.execute("DELETE FROM jobs WHERE id = $1", job_id)
        await audit.record(tx, actor, "job.delete", "job", job_id, **detail)


async def _leave_instance(tx: Tx, job: Row) -> None:
    """Refuse while the instance may still look at its job. How the step went stays with the step; of its
    hosts this one is named no more, or it would look as if nothing had begun there."""
    over = await tx.fetchval("SELECT ended_at IS NOT NULL FROM instances WHERE id = $1", job["instance_id"])
    if not over:
        raise Conflict(f"Job {job['id']} belongs to instance {job['instance_id']}, which has not ended.")
    await tx.execute(
        """UPDATE step_results SET host_ids = array_remove(host_ids, $4)
           WHERE instance_id = $1 AND step_id = $2 AND visit = $3""",
        job["instance_id"],
        job["step_id"],
        job["visit"],
        job["host_id"],
    )


async def show(db: Database, actor: Actor, job_id: int) -> JobView:
    """One job, whole."""
    require(actor, "jobs.view")
    async with db.connection() as connection:
        return await _view(connection, job_id)


async def row(db: Database, actor: Actor, job_id: int) -> JobRow:
    """How one job stands, as it is in a list."""
    require(actor, "jobs.view")
    async with db.connection() as connection:
        found = await job_views.load_row(connection, job_id)
    if found is None:
        raise _missing(job_id)
    return found


async def stop(tx: Tx, job: Row, reason: str) -> None:
    """Cancel a locked job that is not over; one that runs is asked to, and ends when its agent says so."""
    if job["status"] != JobStatus.RUNNING:
        await job_endings.end(tx, job, JobStatus.CANCELLED, reason, outcome="cancelled")
        return
    await tx.execute(
        """UPDATE jobs SET cancel_requested_at = coalesce(cancel_requested_at, now()), reason = $2
           WHERE id = $1""",
        job["id"],
        reason,
    )
    await job_endings.announce(tx, job["id"])
    await notify(tx, channels.JOBS, str(job["host_id"]))


async def _settled(tx: Tx, job: Row) -> bool:
    settled: bool = await tx.fetchval(
        """SELECT EXISTS (SELECT 1 FROM instances WHERE id = $1 AND ended_at IS NOT NULL) OR EXISTS (
               SELECT 1 FROM step_results
               WHERE instance_id = $1 AND step_id = $2 AND visit = $3 AND ended_at IS NOT NULL)""",
        job["instance_id"],
        job["step_id"],
        job["visit"],
    )
    return settled


async def _locked(tx: Tx, job_id: int) -> Row:
    job = await job_endings.lock(tx, job_id)
    if job is None:
        raise _missing(job_id)
    return job


async def _view(tx: Tx, job_id: int) -> JobView:
    view = await job_views.load(tx, job_id)
    if view is None:
        raise _missing(job_id)
    return view


def _missing(job_id: int) -> NotFound:
    return NotFound(f"There is no job {job_id}.")


def _checked(
    type_: str, payload: Mapping[str, Any], secrets: Mapping[str, object]
) -> tuple[Payload, SecretValues]:
    checked, problems = read_payload(type_, payload)
    sealed = SecretValues()
    if checked is not None:
        checked, sealed, problems = take_secrets(checked, secrets)
    if checked is None or problems:
        raise Invalid(f"A {type_[:80]} job can't be made of this.", problems)
    return checked, sealed
