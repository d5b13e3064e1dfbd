"""Jobs and the checkouts they run by: nothing runs as an identity that is not checked out any more.

Whoever ends a checkout leaves its jobs alone, as it holds the identity's lock and they come before it; the
keeper sees to them a moment later.
"""

from definitions.lifecycles.checkout import CheckoutStatus
from definitions.lifecycles.job import JobStatus
from store import job_endings, jobs
from store.connection import Database, Row, Tx

_WORDS = {
    CheckoutStatus.ENDED: "Nothing runs as `{}` any more, its checkout has ended: {}",
    CheckoutStatus.DENIED: "It may not run as `{}`: {}",
    CheckoutStatus.FAILED: "It can't run as `{}`: {}",
}


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
            ended += await _end(tx, row)
    return ended


async def _end(tx: Tx, found: Row) -> bool:
    reason = _WORDS[CheckoutStatus(found["status"])].format(found["name"], found["end_reason"])
    job = await job_endings.lock(tx, found["id"])
    if job is None or job["status"] not in ("queued", "pending", "running"):
        return False
    if job["status"] == JobStatus.RUNNING:
        await jobs.stop(tx, job, reason)
    else:
        await job_endings.end(tx, job, JobStatus.FAILED, reason, outcome="refused")
    return True
