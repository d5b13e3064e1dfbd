"""Jobs and the checkouts they run by: nothing runs as an identity that is not checked out any more.

A job names its checkout when it is made. Whoever ends a checkout leaves its jobs alone, as it holds the
identity's lock and they come before it; the keeper sees to them a moment later.
"""

from collections.abc import Sequence
from typing import NamedTuple

from definitions.errors import Conflict
from definitions.lifecycles.checkout import CheckoutStatus
from definitions.lifecycles.job import JobStatus
from definitions.variables import checkout_over
from store import job_endings, jobs
from store.checkouts import TIME_OVER
from store.connection import Database, Row, Tx


class Usable(NamedTuple):
    """A checkout that a job may run by: now, or once it is active."""

    id: int
    active: bool


async def usable(tx: Tx, name: str, meant: int, steps: Sequence[str]) -> Usable:
    """The checkout that a job of what is known by that name runs by. `meant`: the one that had the name last;
    when that has ended, another of the same identity is as good, as it was asked for again: of these steps,
    in the order in which they had the name, the last. Of another identity none is. `Conflict` says why there
    is none."""
    rows = await tx.fetch(
        """SELECT c.id, c.status, c.deadline <= clock_timestamp() AS late, c.end_reason
           FROM checkouts m JOIN checkouts c USING (instance_id, identity_id)
           WHERE m.id = $1 AND c.step_id = ANY ($2::text[])
           ORDER BY array_position($2::text[], c.step_id), c.id DESC""",
        meant,
        list(dict.fromkeys(reversed(steps))),
    )
    active = [row for row in rows if row["status"] == CheckoutStatus.ACTIVE]
    in_time = [row["id"] for row in active if not row["late"]]
    if in_time:
        return Usable(in_time[0], True)
    waiting = [row["id"] for row in rows if row["status"] == CheckoutStatus.REQUESTED]
    if waiting:
        return Usable(waiting[0], False)
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
