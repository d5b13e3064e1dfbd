"""Counts for probes and metrics: how much there is to do, how long it has waited. Names nothing."""

from typing import NamedTuple

from definitions.catalogue import ENGINE
from store.connection import Database


class Pulse(NamedTuple):
    """How the installation is doing now."""

    jobs: dict[str, int]
    instances: dict[str, int]
    approvals_pending: int
    hosts_online: int
    hosts_offline: int
    oldest_queued_seconds: float
    outbox_due: int
    notices_dead: int


async def ready(db: Database) -> bool:
    """Whether the database answers and its schema is there."""
    return bool(await db.fetchval("SELECT to_regclass('lifecycle_moves') IS NOT NULL"))


async def pulse(db: Database) -> Pulse:
    """The counts of now; only of what is unfinished, so that history does not slow it."""
    jobs = await db.fetch(
        # In two, each with the condition of a partial index: together they would read every job there was.
        """SELECT status, count(*) AS n FROM jobs WHERE status = 'queued' GROUP BY status
           UNION ALL
           SELECT status, count(*) FROM jobs WHERE status IN ('pending', 'running') GROUP BY status"""
    )
    instances = await db.fetch(
        "SELECT status, count(*) AS n FROM instances WHERE ended_at IS NULL GROUP BY status"
    )
    row = await db.fetchrow(
        """SELECT (SELECT count(*) FROM approval_requests WHERE status = 'pending') AS approvals_pending,
                  count(*) FILTER (WHERE a.last_seen_at > now() - interval '60 seconds') AS hosts_online,
                  count(*) FILTER (WHERE coalesce(a.last_seen_at < now() - interval '60 seconds', true))
                      AS hosts_offline,
                  coalesce((SELECT extract(epoch FROM now() - min(scheduled_at))::float FROM jobs
                            WHERE status = 'queued' AND scheduled_at < now()), 0) AS oldest_queued_seconds,
                  (SELECT count(*) FROM outbox WHERE done_at IS NULL AND not_before <= now()) AS outbox_due,
                  (SELECT count(*) FROM notice_deliveries WHERE dead_at IS NOT NULL) AS notices_dead
           FROM hosts h LEFT JOIN agents a ON a.host_id = h.id AND a.revoked_at IS NULL
           WHERE h.decommissioned_at IS NULL AND h.name <> $1""",
        ENGINE,
    )
    assert row is not None
    return Pulse(
        {each["status"]: each["n"] for each in jobs}, {each["status"]: each["n"] for each in instances}, **row
    )
