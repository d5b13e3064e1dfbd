"""The lease of an instance: who runs it now, and the fence against a second executor.

Taking the lease raises the epoch; every commit of the engine names its epoch and fails with
`LeaseLost` when it is not the newest. So a run that Prefect starts twice, or a worker that was
thought dead, can't write.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from definitions.errors import Conflict, NotFound
from store import channels
from store.connection import Database, Row, Tx
from store.engine.workers import LEASE_SECONDS
from store.wakes import notify


class LeaseHeld(Conflict):
    """Another executor runs this instance; leave it alone."""


class LeaseLost(Conflict):
    """Another executor has taken over; nothing may be written any more."""


class AlreadyEnded(Conflict):
    """The instance has ended; there is nothing to run."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(f"The instance has already ended: {status}. {reason}".strip())
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Lease:
    """The right to commit for one instance, until a higher epoch exists."""

    instance_id: int
    epoch: int


_TAKE = f"""
UPDATE instances i SET
    epoch = epoch + 1, lease_holder = $2, parked_seq = NULL, wake_at = NULL,
    status = CASE WHEN status = 'queued' THEN 'running' ELSE status END,
    started_at = coalesce(started_at, now())
WHERE id = $1 AND ended_at IS NULL AND NOT EXISTS (
    SELECT 1 FROM workers w WHERE w.id = i.lease_holder AND w.stopped_at IS NULL
    AND w.heartbeat_at > now() - interval '{LEASE_SECONDS} seconds')
RETURNING epoch
"""


async def take(db: Database, instance_id: int, worker_id: UUID) -> Lease:
    """Take the lease, or raise `LeaseHeld`, `AlreadyEnded` or `NotFound`. A queued instance runs from now."""
    async with db.transaction() as tx:
        # Locked by a statement of its own: an UPDATE that had to wait for the row would judge the
        # holder by the join it made before it waited, and take a lease that is held.
        await tx.execute("SELECT 1 FROM instances WHERE id = $1 FOR UPDATE", instance_id)
        epoch = await tx.fetchval(_TAKE, instance_id, worker_id)
        if epoch is not None:
            await notify(tx, channels.EVENTS, f"instance:{instance_id}")
            return Lease(instance_id, epoch)
        row = await tx.fetchrow("SELECT status, reason, ended_at FROM instances WHERE id = $1", instance_id)
    if row is None:
        raise NotFound(f"There is no instance {instance_id}.")
    if row["ended_at"] is not None:
        raise AlreadyEnded(row["status"], row["reason"])
    raise LeaseHeld(f"Instance {instance_id} is being run by another worker.")


async def release(db: Database, lease: Lease, *, went_well: bool) -> None:
    """Give the lease back; the keeper looks at once whether something has happened meanwhile.

    Only a segment that went well ends the keeper's pauses: one that breaks off each time it is
    tried is tried less and less often.
    """
    async with db.transaction() as tx:
        await tx.execute(
            """UPDATE instances SET lease_holder = NULL,
                   nudged_at = CASE WHEN $3 THEN NULL ELSE nudged_at END,
                   nudges = CASE WHEN $3 THEN 0 ELSE nudges END
               WHERE id = $1 AND epoch = $2""",
            lease.instance_id,
            lease.epoch,
            went_well,
        )
        await notify(tx, channels.OUTBOX)


async def free(db: Database, instance_id: int, worker_id: UUID) -> None:
    """Give back what a living worker may hold without running it: its heartbeat would keep it for ever."""
    async with db.transaction() as tx:
        await tx.execute(
            "UPDATE instances SET lease_holder = NULL WHERE id = $1 AND lease_holder = $2",
            instance_id,
            worker_id,
        )
        await notify(tx, channels.OUTBOX)


@dataclass(frozen=True)
class Glance:
    """What may have changed under the engine since it last looked."""

    wake_seq: int
    cancel_requested: bool
    cancel_reason: str
    parked: bool
    """It shows as waiting still."""
    frontier: list[dict[str, Any]]
    """As stored: {"step", "visit"} each."""


_GLANCE = """
SELECT wake_seq, cancel_requested_at IS NOT NULL, coalesce(cancel_reason, ''), park_kind IS NOT NULL,
       frontier
FROM instances WHERE id = $1 AND epoch = $2 AND ended_at IS NULL
"""


def _glance(lease: Lease, row: Row | None) -> Glance:
    if row is None:
        raise LeaseLost(f"Instance {lease.instance_id} has been taken over by another worker.")
    return Glance(*row.values())


async def fence(tx: Tx, lease: Lease) -> Glance:
    """Lock the instance for this commit, or raise `LeaseLost`."""
    return _glance(lease, await tx.fetchrow(f"{_GLANCE} FOR UPDATE", lease.instance_id, lease.epoch))


async def glance(db: Database, lease: Lease) -> Glance:
    """Look whether something has happened, without writing; raises `LeaseLost` like a commit."""
    return _glance(lease, await db.fetchrow(_GLANCE, lease.instance_id, lease.epoch))
