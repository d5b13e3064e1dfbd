"""Every job ends: what becomes of one whose agent does not pick it up, or never answers again.

Called by the keeper every few seconds. Each job is ended in a transaction of its own, with its
deadline asked again under the lock. Returns how many were ended.
"""

from definitions.lifecycles.job import JobStatus
from store import job_endings, job_holds
from store.connection import Database
from store.job_waits import PICK_UP_MINUTES

NOT_PICKED_UP = "Agent did not pick up job"
"""The manual's words."""

NO_RESULT = "No result after {seconds} s, twice the timeout."

CANCEL_GRACE_SECONDS = 60
"""How long a cancel waits for an agent that is not heard."""

BATCH = 500

# No agent may take it up while people or another holder of its identity keep it: the time begins after that.
_STALE = f"""(j.status = 'queued' AND j.scheduled_at < now() - interval '{PICK_UP_MINUTES} minutes'
        AND NOT {job_holds.NOT_CHECKED_OUT} AND NOT {job_holds.GATED}
        AND ({job_holds.HELD_UNTIL} > now() - interval '{PICK_UP_MINUTES} minutes') IS NOT TRUE)
    OR (j.status = 'pending' AND j.claimed_at < now() - interval '{PICK_UP_MINUTES} minutes')"""
_OVERDUE = "j.status = 'running' AND j.started_at < now() - 2 * j.timeout_seconds * interval '1 second'"
_UNANSWERED = f"""j.status = 'running'
    AND j.cancel_requested_at < now() - interval '{CANCEL_GRACE_SECONDS} seconds'
    AND NOT EXISTS (SELECT 1 FROM agents a WHERE a.id = j.agent_id
                    AND a.last_seen_at > now() - interval '{CANCEL_GRACE_SECONDS} seconds')"""


async def fail_stale(db: Database) -> int:
    """Fail what was not picked up 30 minutes after it was due, or was claimed and not started for as long."""
    return await _end_each(db, _STALE, JobStatus.FAILED, NOT_PICKED_UP)


async def time_out_running(db: Database) -> int:
    """Time out what has run for twice its timeout: the agent, which stops it after one, has not said so.

    And cancel what was to be cancelled on an agent that is not heard any more.
    """
    unanswered = "Cancelled; the agent did not answer."
    ended = await _end_each(db, _UNANSWERED, JobStatus.CANCELLED, unanswered)
    return ended + await _end_each(db, _OVERDUE, JobStatus.TIMEOUT, NO_RESULT)


async def _end_each(db: Database, due: str, status: JobStatus, reason: str) -> int:
    ended = 0
    for found in await db.fetch(f"SELECT j.id FROM jobs j WHERE {due} ORDER BY j.id LIMIT {BATCH}"):
        async with db.transaction() as tx:
            job = await job_endings.lock(tx, found["id"])
            if job is None or not await tx.fetchval(
                f"SELECT EXISTS (SELECT 1 FROM jobs j WHERE j.id = $1 AND ({due}))", job["id"]
            ):
                continue
            said = reason.format(seconds=2 * job["timeout_seconds"])
            outcome = {JobStatus.TIMEOUT: "timeout", JobStatus.CANCELLED: "cancelled"}.get(status)
            await job_endings.end(tx, job, status, said, outcome=outcome)
            ended += 1
    return ended
