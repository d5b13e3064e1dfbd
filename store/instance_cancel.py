"""Cancelling an instance: what a person asks for, and what it stops at once.

Locks the instance first, as the engine does. One that no worker has begun is over at once; of any
other the engine writes the end, because it may be in the middle of a step.
"""

from definitions.errors import Conflict
from definitions.lifecycles.instance import InstanceStatus
from definitions.permissions import Actor, require
from store import approvals, audit, checkouts, instance_views, jobs, references
from store.connection import Database, Tx
from store.instance_views import InstanceView
from store.visits import Visits
from store.wakes import wake_instance

MAX_REASON = 2000


async def cancel(db: Database, actor: Actor, instance_id: int, reason: str = "") -> InstanceView:
    """Ask for an instance to end: its jobs are cancelled, its open requests withdrawn."""
    require(actor, "workflows.manage")
    reason = reason.strip().replace("\x00", "")[:MAX_REASON]
    sentence = f"Cancelled by {actor.name}{': ' + reason if reason else '.'}"
    async with db.transaction() as tx:
        row = await tx.fetchrow(
            """SELECT status, ended_at, cancel_requested_at, lease_holder FROM instances
               WHERE id = $1 FOR UPDATE""",
            instance_id,
        )
        if row is None:
            raise references.missing("instance", instance_id)
        if row["ended_at"] is not None:
            raise Conflict(f"Instance {instance_id} has ended already: {row['status']}.")
        if row["cancel_requested_at"] is None:
            await tx.execute(
                "UPDATE instances SET cancel_requested_at = now(), cancel_reason = $2 WHERE id = $1",
                instance_id,
                sentence,
            )
            if row["status"] == InstanceStatus.QUEUED and row["lease_holder"] is None:
                await _end_unbegun(tx, instance_id, sentence)
            await stop_work(tx, instance_id, sentence, actor)
            await wake_instance(tx, instance_id)
            await audit.record(tx, actor, "instance.cancel", "instance", instance_id, reason=reason)
        return await instance_views.one(tx, actor, instance_id)


async def stop_work(tx: Tx, instance_id: int, reason: str, actor: Actor, steps: Visits | None = None) -> None:
    """Cancel the instance's jobs, and withdraw its open requests and what it waits to check out, or those of
    some visits of its steps; the caller holds its lock.

    Also for the engine when it ends an instance: a step may have opened after the person asked. It locks
    identities before requests: see `store.checkouts`.
    """
    await jobs.cancel_of_instance(tx, instance_id, reason, steps)
    await checkouts.end_waiting(tx, instance_id, reason, steps)
    await approvals.withdraw_all(tx, instance_id, reason, actor, steps)


async def _end_unbegun(tx: Tx, instance_id: int, reason: str) -> None:
    await tx.execute(
        """UPDATE instances SET status = 'cancelled', reason = $2, ended_at = now(), frontier = '[]',
               sealed_inputs = NULL
           WHERE id = $1""",
        instance_id,
        reason,
    )
