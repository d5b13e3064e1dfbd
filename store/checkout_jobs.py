"""Jobs and the checkouts they run by: nothing runs as an identity that is not checked out any more.

A job names its checkout when it is made. Whoever ends a checkout leaves its jobs alone, as it holds the
identity's lock and they come before it; the keeper sees to them a moment later.
"""

from collections.abc import Sequence

from definitions.errors import Conflict
from definitions.lifecycles.checkout import CheckoutStatus
from definitions.lifecycles.job import JobStatus
from definitions.variables import checkout_over
from store import job_endings, jobs
from store.checkouts import TIME_OVER
from store.connection import Database, Row, Tx


async def usable(tx: Tx, name: str, instance_id: int, steps: Sequence[str]) -> int | None:
    """The newest checkout of these steps, which are all known by that name, that a job may run by now; None
    while one is asked for and not active yet; `Conflict` says why there is none."""
    rows = await tx.fetch(
        """SELECT id, status, deadline <= clock_timestamp() AS late, end_reason FROM checkouts
           WHERE instance_id = $1 AND step_id = ANY ($2) ORDER BY id DESC""",
        instance_id,
        list(steps),
    )
    active = [row for row in rows if row["status"] == CheckoutStatus.ACTIVE]
    in_time = [row["id"] for row in active if not row["late"]]
    if in_time:
        found: int = in_time[0]
        return found
    if any(row["status"] == CheckoutStatus.REQUESTED for row in rows):
        return None
    why = TIME_OVER if active or not rows else rows[0]["end_reason"]
    raise Conflict(checkout_over(name, why))


async def end_without(db: Database, limit: int = 200) -> int:
    """End the jobs whose checkout has ended: what has not started fails, what runs is stopped; returns how
    many. Called by the keeper."""
    rows = await db.fetch(
        """SELECT j.id, i.name, c.status, c.end_reason FROM jobs j
           JOIN checkouts c ON c.id = j.checkout_id JOIN identities i ON i.id = c.identity_id
           WHERE j.status IN ('queued', 'pending', 'running') AND c.ended_at IS NOT NULL
             AND (j.status <> 'running' OR j.cancel_requested_at IS NULL)
           ORDER BY j.id LIMIT $1""",
        limit,
    )
    ended = 0
    for row in rows:
        async with db.transaction() as tx:
            ended += await _end(tx, row["id"], _reason(row))
    return ended


def _reason(row: Row) -> str:
    name, why = row["name"], row["end_reason"]
    if row["status"] == CheckoutStatus.DENIED:
        return f"It may not run as `{name}`: {why}"
    if row["status"] == CheckoutStatus.FAILED:
        return f"It can't run as `{name}`: {why}"
    return checkout_over(name, why)


async def _end(tx: Tx, job_id: int, reason: str) -> bool:
    job = await job_endings.lock(tx, job_id)
    if job is None or job["status"] not in ("queued", "pending", "running"):
        return False
    if job["status"] == JobStatus.RUNNING:
        await jobs.stop(tx, job, reason)
    else:
        await job_endings.end(tx, job, JobStatus.FAILED, reason, outcome="refused")
    return True
