"""An agent's poll, evaluated once: heartbeat, reconciliation, claim, cancels, what to forget.

The waiting of a held-open poll is the route's; it evaluates again with `again=True`, which beats
no heart and never takes the poll for that of a new process.

A reply that was lost is made up for by what the agent holds: what is claimed and not held is given again.
That covers a repeat of the same request too, so `request_id` is only kept with the job, as a record.
"""

from datetime import timedelta

import structlog

from agent.protocol import AttemptRef, JobMessage, PollReply, PollRequest
from definitions.errors import Conflict, NotPermitted, OpsgateError
from definitions.permissions import Actor
from store import agents, channels, job_credentials, job_endings, job_holds, sealed_values, sealing
from store.connection import Database, Row
from store.job_credentials import ReadCredential, Recipient

_log = structlog.get_logger("opsgate.store")

TELL_AGAIN = timedelta(seconds=2)
"""A cancel is told again this long after, until the attempt has ended: killing takes a moment."""

_MINE = """SELECT public_key FROM agents WHERE id = $1 AND boot_id = $2 AND revoked_at IS NULL
    FOR NO KEY UPDATE"""
"""Held while jobs are handed over: a decommissioning waits for them, and so does a repeat of this poll."""

_MAY_RUN = f"(j.claim_after IS NULL OR j.claim_after <= now()) AND NOT {job_holds.NOT_CHECKED_OUT}"
"""Of `jobs j`: one that is to run by a checkout waits while that is only asked for, and for a while after its
vault did not give the credential. Once the checkout has ended it is taken, to fail in words."""

# The one statement by which a job gets an owner. Jobs of an instance are held back while a gate that
# stands before them is undecided, while it is being cancelled, and when it is over: whoever manages to
# run a flow past its gate, or to insert behind one, still moves no host.
# What was claimed before and never arrived is given again first, and alone.
_CLAIM = f"""WITH lost AS MATERIALIZED (
        SELECT id, attempt, payload, sealed_values, checkout_id, priority, scheduled_at FROM jobs
        WHERE agent_id = $2 AND status = 'pending'
          AND (id, attempt) NOT IN (SELECT * FROM unnest($5::bigint[], $6::int[]))),
    free AS MATERIALIZED (
        SELECT j.id FROM jobs j
        WHERE j.host_id = $1 AND j.status = 'queued' AND j.scheduled_at <= now() AND {_MAY_RUN}
          AND NOT EXISTS (SELECT 1 FROM lost)
          AND (j.instance_id IS NULL OR EXISTS (
                SELECT 1 FROM instances i
                WHERE i.id = j.instance_id AND i.ended_at IS NULL AND i.cancel_requested_at IS NULL)
              AND NOT {job_holds.GATED})
        ORDER BY j.priority, j.scheduled_at, j.id LIMIT $4 FOR UPDATE OF j SKIP LOCKED),
    claimed AS (
        UPDATE jobs SET status = 'pending', agent_id = $2, request_id = $3, claimed_at = clock_timestamp()
        WHERE id IN (SELECT id FROM free) AND status = 'queued'
        RETURNING id, attempt, payload, sealed_values, checkout_id, priority, scheduled_at,
            {channels.telling("job", "id")})
    SELECT id, attempt, payload, sealed_values, checkout_id, priority, scheduled_at FROM claimed
    UNION ALL SELECT * FROM lost"""

# What there is to do, in one statement: nearly every poll finds nothing, and thousands wait.
# `lost`: claimed, and never arrived, for the reply was lost or this is the same poll once more.
# `forget`: held without need; it has ended here, or is not this agent's any more.
_WORK = f"""now() AS server_time,
    EXISTS (SELECT 1 FROM jobs WHERE agent_id = $1 AND status = 'pending'
              AND (id, attempt) NOT IN (SELECT * FROM unnest($4::bigint[], $5::int[]))) AS lost,
    EXISTS (SELECT 1 FROM jobs WHERE agent_id = $1 AND status = 'running'
              AND cancel_requested_at IS NOT NULL) AS cancel,
    EXISTS (SELECT 1 FROM jobs j WHERE j.host_id = $3 AND j.status = 'queued' AND j.scheduled_at <= now()
              AND {_MAY_RUN}) AS due,
    ARRAY (SELECT h.nr FROM unnest($4::bigint[], $5::int[]) WITH ORDINALITY AS h (id, attempt, nr)
           WHERE NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = h.id AND j.attempt = h.attempt
                             AND j.agent_id = $1 AND j.status IN ('pending', 'running'))) AS forget"""

_LOOK = f"SELECT {_WORK} FROM agents WHERE id = $1 AND boot_id = $2 AND revoked_at IS NULL"
"""Takes no lock and writes nothing: thousands of polls do it every few seconds."""

_BEAT = f"""UPDATE agents SET last_seen_at = clock_timestamp(), version = coalesce(nullif($6, ''), version)
    WHERE id = $1 AND boot_id = $2 AND revoked_at IS NULL
    RETURNING set_config('synchronous_commit', 'off', true), {_WORK}"""
"""A heartbeat lost in a crash is made up by the next: its commit need not wait for the disk."""


async def poll(
    db: Database,
    agent: Actor,
    request: PollRequest,
    *,
    again: bool = False,
    sure: bool = False,
    read: ReadCredential | None = None,
) -> PollReply:
    """What this agent should do now; nothing in it when there is nothing. `read` asks vaults for what jobs
    run by; without it such a job waits for a process that can.

    `sure`: the caller became the agent before (`store.engine_host`), and `Conflict` says that it is so no
    more; another process that polls is the agent from then on.
    """
    found = await _look(db, agent, request, again)
    if found is None and sure:
        raise Conflict("Another process has become this agent.")
    if found is None and await _new_process(db, agent, request, again):
        found = await _look(db, agent, request, again=True)
    if found is None:  # a newer process of the agent polls now: nothing is for this one
        return PollReply(server_time=await db.fetchval("SELECT now()"))
    to_give = found["lost"] or (found["due"] and request.free_slots)
    held = [AttemptRef(job_id=held.job_id, attempt=held.attempt) for held in request.holding]
    return PollReply(
        jobs=await _hand_over(db, agent, request, read) if to_give else [],
        cancel=await _to_cancel(db, agent) if found["cancel"] else [],
        forget=[held[number - 1] for number in found["forget"]],
        server_time=found["server_time"],
    )


_WAITED_FOR = f"""SELECT a.host_id FROM agents a WHERE a.id = ANY ($1) AND (
    a.revoked_at IS NOT NULL
    OR EXISTS (SELECT 1 FROM jobs j WHERE j.host_id = a.host_id AND j.status = 'queued'
                 AND j.scheduled_at <= now() AND {_MAY_RUN})
    OR EXISTS (SELECT 1 FROM jobs j WHERE j.agent_id = a.id AND (
                 j.status = 'pending' OR j.status = 'running' AND j.cancel_requested_at IS NOT NULL)))"""


async def hosts_with_work(db: Database, agent_ids: list[int]) -> list[int]:
    """The hosts among those of these agents whose next look may find something: one question for all
    polls that are held open, where each asking for itself took most of an idle server's time."""
    return [row["host_id"] for row in await db.fetch(_WAITED_FOR, agent_ids)]


async def _look(db: Database, agent: Actor, request: PollRequest, again: bool) -> Row | None:
    """What there is to do, noting that the agent is there unless it is looking again; None if the
    store knows no such process of it."""
    ids = [held.job_id for held in request.holding]
    about = (agent.id, request.boot_id, agent.host_id, ids, [held.attempt for held in request.holding])
    return await (db.fetchrow(_LOOK, *about) if again else db.fetchrow(_BEAT, *about, request.version))


async def _new_process(db: Database, agent: Actor, request: PollRequest, again: bool) -> bool:
    """Note that another process of the agent polls now, and take back what the one before has lost.
    False if a poll that looks again is the older one."""
    async with db.transaction() as tx:
        if request.facts is not None and not again:  # the host before its agent, as decommissioning does
            await agents.note_host(tx, agent.host_id, request.facts, request.os, request.arch)
        row = await tx.fetchrow(
            "SELECT boot_id, previous_boot_id, revoked_at FROM agents WHERE id = $1 FOR NO KEY UPDATE",
            agent.id,
        )
        if row is None or row["revoked_at"] is not None:
            raise NotPermitted("This agent was decommissioned.")
        if row["boot_id"] == request.boot_id:
            return True  # noted by another poll of this process
        if again:
            return False
        if row["previous_boot_id"] == request.boot_id:
            raise Conflict("A newer process of this agent has polled already.")
        await tx.execute(
            """UPDATE agents SET last_seen_at = clock_timestamp(), previous_boot_id = boot_id, boot_id = $2,
                   version = coalesce(nullif($3, ''), version)
               WHERE id = $1""",
            agent.id,
            request.boot_id,
            request.version,
        )
        if row["boot_id"] is not None:
            held = {(held.job_id, held.attempt) for held in request.holding}
            await job_endings.release(tx, agent.id, held, "The agent restarted while it ran.")
    return True


async def _hand_over(
    db: Database, agent: Actor, request: PollRequest, read: ReadCredential | None
) -> list[JobMessage]:
    """The jobs for this poll: what it never got of an earlier claim, else what it claims now.

    Those that need a credential come alone, with the next poll if there are others: they wait for no vault.
    """
    held = [each.job_id for each in request.holding], [each.attempt for each in request.holding]
    async with db.transaction() as tx:
        public_key = await tx.fetchval(_MINE, agent.id, request.boot_id)
        if public_key is None:
            return []  # decommissioned, or another process of it polls, since the look
        about = (agent.host_id, agent.id, request.request_id, request.free_slots)
        rows = await tx.fetch(_CLAIM, *about, *held)
    rows = sorted(rows, key=_order)
    ready = [_message(db, agent, public_key, row) for row in rows if row["checkout_id"] is None]
    if ready or not rows:
        return ready
    return await job_credentials.hand_over(db, Recipient(agent, public_key), rows, read)


async def _to_cancel(db: Database, agent: Actor) -> list[AttemptRef]:
    rows = await db.fetch(
        """UPDATE jobs SET cancel_told_at = clock_timestamp()
           WHERE agent_id = $1 AND status = 'running' AND cancel_requested_at IS NOT NULL
             AND (cancel_told_at IS NULL OR cancel_told_at < clock_timestamp() - $2::interval)
           RETURNING id, attempt""",
        agent.id,
        TELL_AGAIN,
    )
    return [AttemptRef(job_id=row["id"], attempt=row["attempt"]) for row in rows]


def _message(db: Database, agent: Actor, public_key: bytes, row: Row) -> JobMessage:
    sealed = None if row["sealed_values"] is None else _sealed_anew(db, agent, public_key, row)
    return JobMessage(job_id=row["id"], attempt=row["attempt"], payload=row["payload"], sealed=sealed)


def _sealed_anew(db: Database, agent: Actor, public_key: bytes, row: Row) -> str | None:
    """The job's secret values, sealed to this agent for this attempt; None if that can't be done: the
    agent then refuses the job, and its other jobs are not held up."""
    assert agent.host_id is not None
    assert agent.id is not None
    try:
        return sealing.seal_to_agent(
            sealed_values.of_job(db.keys, row["id"], row["sealed_values"]),
            public_key,
            host_id=agent.host_id,
            agent_id=agent.id,
            job_id=row["id"],
            attempt=row["attempt"],
        )
    except (OpsgateError, ValueError) as error:
        _log.error("the secret values of a job can't be given to its agent", job=row["id"], error=str(error))
        return None


def _order(row: Row) -> tuple[int, float, int]:
    return row["priority"], row["scheduled_at"].timestamp(), row["id"]
