"""An agent's poll, evaluated once: heartbeat, reconciliation, claim, cancels, what to forget.

The waiting of a held-open poll is the route's; it evaluates again with `again=True`, which beats
no heart and never takes the poll for that of a new process.
"""

from datetime import timedelta

from agent.protocol import AttemptRef, JobMessage, PollReply, PollRequest
from definitions.errors import Conflict, NotPermitted
from definitions.permissions import Actor
from store import channels, job_endings
from store.connection import Database, Row, Tx

TELL_AGAIN = timedelta(seconds=2)
"""A cancel is told again this long after, until the attempt has ended: killing takes a moment."""

# The one statement by which a job gets an owner. Jobs of an instance are held back while a gate of
# that instance is undecided, while it is being cancelled, and when it is over: whoever manages to
# run a flow past its gate, or to insert behind one, still moves no host. An instance has one
# frontier today, so any pending request of it stands before every job of it.
_CLAIM = """WITH free AS MATERIALIZED (
        SELECT j.id FROM jobs j
        WHERE j.host_id = $1 AND j.status = 'queued' AND j.scheduled_at <= now()
          AND (j.instance_id IS NULL OR EXISTS (
                SELECT 1 FROM instances i
                WHERE i.id = j.instance_id AND i.ended_at IS NULL AND i.cancel_requested_at IS NULL
                  AND NOT EXISTS (SELECT 1 FROM approval_requests r
                                  WHERE r.instance_id = i.id AND r.status = 'pending')))
        ORDER BY j.priority, j.scheduled_at, j.id LIMIT $4 FOR UPDATE OF j SKIP LOCKED)
    UPDATE jobs SET status = 'pending', agent_id = $2, request_id = $3, claimed_at = clock_timestamp()
    WHERE id IN (SELECT id FROM free) AND status = 'queued'
    RETURNING id, attempt, payload, priority, scheduled_at, pg_notify($5, 'job:' || id)"""


# What a poll costs while there is nothing to do, which is nearly always: one statement. `has_work`
# says that looking closer is worth it, not that there is something.
_HAS_WORK = """now() AS server_time,
    EXISTS (SELECT 1 FROM jobs WHERE agent_id = $1 AND status = 'pending')
    OR EXISTS (SELECT 1 FROM jobs
               WHERE agent_id = $1 AND status = 'running' AND cancel_requested_at IS NOT NULL)
    OR ($4 AND EXISTS (SELECT 1 FROM jobs
                       WHERE host_id = $3 AND status = 'queued' AND scheduled_at <= now())) AS has_work"""
_AGAIN = f"""SELECT {_HAS_WORK} FROM agents WHERE id = $1 AND boot_id = $2 AND revoked_at IS NULL"""
_BEAT = f"""UPDATE agents SET last_seen_at = clock_timestamp(), version = coalesce(nullif($5, ''), version)
    WHERE id = $1 AND boot_id = $2 AND revoked_at IS NULL RETURNING {_HAS_WORK}"""


async def poll(db: Database, agent: Actor, request: PollRequest, *, again: bool = False) -> PollReply:
    """What this agent should do now; nothing in it when there is nothing."""
    about = (agent.id, request.boot_id, agent.host_id, request.free_slots > 0)
    seen = await (db.fetchrow(_AGAIN, *about) if again else db.fetchrow(_BEAT, *about, request.version))
    if seen is not None and not seen["has_work"]:
        return PollReply(forget=await _to_forget(db, agent, request), server_time=seen["server_time"])
    async with db.transaction() as tx:
        now = await tx.fetchval("SELECT now()")
        if not await _present(tx, agent, request, again):
            return PollReply(server_time=now)
        # What was claimed and never arrived: the reply was lost, or this is the same poll once more.
        rows = await tx.fetch(
            """SELECT id, attempt, payload, priority, scheduled_at FROM jobs
               WHERE agent_id = $1 AND status = 'pending'""",
            agent.id,
        )
        held = _held(request)
        rows = [row for row in rows if (row["id"], row["attempt"]) not in held]
        if not rows and request.free_slots:
            rows = await tx.fetch(
                _CLAIM, agent.host_id, agent.id, request.request_id, request.free_slots, channels.EVENTS
            )
        return PollReply(
            jobs=[_message(row) for row in sorted(rows, key=_order)],
            cancel=await _to_cancel(tx, agent),
            forget=await _to_forget(tx, agent, request),
            server_time=now,
        )


async def _present(tx: Tx, agent: Actor, request: PollRequest, again: bool) -> bool:
    """Note which process of the agent is there; False if this poll is outdated."""
    # Looking again takes no lock, and so writes nothing: thousands of polls do it every few seconds.
    row = await tx.fetchrow(
        f"""SELECT boot_id, previous_boot_id, revoked_at FROM agents WHERE id = $1
            {"" if again else "FOR NO KEY UPDATE"}""",
        agent.id,
    )
    if row is None or row["revoked_at"] is not None:
        raise NotPermitted("This agent was decommissioned.")
    if row["boot_id"] == request.boot_id:
        return True
    if again:
        return False
    if row["previous_boot_id"] == request.boot_id:
        raise Conflict("A newer process of this agent has polled already.")
    await tx.execute(
        """UPDATE agents SET last_seen_at = clock_timestamp(), version = coalesce(nullif($3, ''), version),
               previous_boot_id = boot_id, boot_id = $2
           WHERE id = $1""",
        agent.id,
        request.boot_id,
        request.version,
    )
    if row["boot_id"] is not None:
        await job_endings.release(tx, agent.id, _held(request), "The agent restarted while it ran.")
    return True


def _held(request: PollRequest) -> set[tuple[int, int]]:
    return {(held.job_id, held.attempt) for held in request.holding}


async def _to_cancel(tx: Tx, agent: Actor) -> list[AttemptRef]:
    rows = await tx.fetch(
        """UPDATE jobs SET cancel_told_at = clock_timestamp()
           WHERE agent_id = $1 AND status = 'running' AND cancel_requested_at IS NOT NULL
             AND (cancel_told_at IS NULL OR cancel_told_at < clock_timestamp() - $2::interval)
           RETURNING id, attempt""",
        agent.id,
        TELL_AGAIN,
    )
    return [AttemptRef(job_id=row["id"], attempt=row["attempt"]) for row in rows]


async def _to_forget(tx: Tx | Database, agent: Actor, request: PollRequest) -> list[AttemptRef]:
    """What the agent holds and has no need to: it has ended here, or is not this agent's any more."""
    if not request.holding:
        return []
    rows = await tx.fetch(
        """SELECT id, attempt FROM jobs
           WHERE agent_id = $1 AND id = ANY($2) AND status IN ('pending', 'running')""",
        agent.id,
        [held.job_id for held in request.holding],
    )
    wanted = {(row["id"], row["attempt"]) for row in rows}
    return [
        AttemptRef(job_id=held.job_id, attempt=held.attempt)
        for held in request.holding
        if (held.job_id, held.attempt) not in wanted
    ]


def _message(row: Row) -> JobMessage:
    return JobMessage(job_id=row["id"], attempt=row["attempt"], payload=row["payload"])


def _order(row: Row) -> tuple[int, float, int]:
    return row["priority"], row["scheduled_at"].timestamp(), row["id"]
