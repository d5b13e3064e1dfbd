"""What the keeper must look at: instances that nobody runs and that should not wait.

Level-triggered: it is read from the facts every time, so nothing is lost with a notification.
Every branch of the query is served by a partial index: waiting instances cost nothing.
"""

from dataclasses import dataclass
from uuid import UUID

from store.connection import Database
from store.engine.workers import LEASE_SECONDS


@dataclass(frozen=True)
class Idle:
    """An unfinished instance without a live executor that has a reason to run."""

    instance_id: int
    workflow_id: int
    workflow_name: str
    flow_run_id: UUID | None
    flow_run_n: int
    nudges: int
    abandoned: bool
    """A dead worker still holds its lease: whatever Prefect shows, nobody runs it."""


_DEAD = f"(w.stopped_at IS NOT NULL OR w.heartbeat_at <= now() - interval '{LEASE_SECONDS} seconds')"

_CANDIDATES = f"""
WITH candidate AS (
    SELECT id FROM instances WHERE ended_at IS NULL AND (parked_seq IS NULL OR wake_seq > parked_seq)
    UNION
    SELECT id FROM instances WHERE ended_at IS NULL AND wake_at IS NOT NULL AND wake_at <= now()
    UNION
    SELECT i.id FROM instances i JOIN workers w ON w.id = i.lease_holder
    WHERE i.lease_holder IS NOT NULL AND i.ended_at IS NULL AND {_DEAD}
)
SELECT i.id, i.workflow_id, f.name, i.flow_run_id, i.flow_run_n, i.nudges, i.lease_holder IS NOT NULL
FROM candidate c JOIN instances i USING (id) JOIN workflows f ON f.id = i.workflow_id
LEFT JOIN workers w ON w.id = i.lease_holder
WHERE (w.id IS NULL OR {_DEAD})
  AND (i.nudged_at IS NULL
       OR i.nudged_at + least(60, 2 ^ least(i.nudges, 6)) * interval '1 second' <= now())
ORDER BY i.id LIMIT $1
"""


async def idle(db: Database, limit: int = 200) -> list[Idle]:
    """The oldest instances that need a run or a wake. One that was nudged gets a pause that doubles."""
    rows = await db.fetch(_CANDIDATES, limit)
    return [Idle(*row.values()) for row in rows]


async def nudged(db: Database, instance_id: int) -> None:
    """The keeper brings Prefect along for this instance; a segment that goes well takes the note back."""
    await db.execute(
        "UPDATE instances SET nudged_at = now(), nudges = nudges + 1 WHERE id = $1 AND ended_at IS NULL",
        instance_id,
    )


async def not_reached(db: Database, idle: Idle) -> None:
    """Prefect did not answer: that says nothing of the instance, so the note is taken back and the
    pause stays as it was. Not if a segment, or another keeper, has come between."""
    await db.execute(
        "UPDATE instances SET nudges = $2 WHERE id = $1 AND nudges = $2 + 1", idle.instance_id, idle.nudges
    )


async def attach_run(db: Database, instance_id: int, number: int, flow_run_id: UUID) -> bool:
    """Note the flow run made for an instance, as its `number`-th; False if another was noted first."""
    tag = await db.execute(
        """UPDATE instances SET flow_run_id = $3, flow_run_n = $2, run_closed = false
           WHERE id = $1 AND flow_run_n = $2 - 1""",
        instance_id,
        number,
        flow_run_id,
    )
    return tag == "UPDATE 1"


@dataclass(frozen=True)
class Unclosed:
    """An instance that has ended while Prefect may still show its run as open."""

    instance_id: int
    flow_run_id: UUID | None
    """None: it ended before it had one."""
    status: str
    reason: str


async def unclosed(db: Database, limit: int = 100) -> list[Unclosed]:
    """Instances that ended ten seconds ago or more and whose run nobody has seen end."""
    rows = await db.fetch(
        """SELECT id, flow_run_id, status, reason FROM instances
           WHERE ended_at IS NOT NULL AND NOT run_closed AND ended_at < now() - interval '10 seconds'
           ORDER BY ended_at LIMIT $1""",
        limit,
    )
    return [Unclosed(row["id"], row["flow_run_id"], row["status"], row["reason"]) for row in rows]


async def closed(db: Database, instance_id: int) -> None:
    """Prefect's run has ended as the instance did."""
    await db.execute(
        "UPDATE instances SET run_closed = true WHERE id = $1 AND ended_at IS NOT NULL", instance_id
    )
