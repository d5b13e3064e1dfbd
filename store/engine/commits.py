"""The engine's commits: a step opens, waits, closes; the instance parks or ends.

Each is one transaction behind the fence, and safe to repeat after a crash: a step's row is
unique on (instance, step, visit), its jobs on (instance, step, visit, host).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from definitions.lifecycles.instance import InstanceStatus, StepStatus
from definitions.permissions import SYSTEM
from definitions.routing import Active, Advance, Outcome
from definitions.steps.step import CANCELLED
from definitions.storable import storable
from definitions.variables import StepFacts
from store import audit, channels, checkouts, instance_cancel, notices, visits
from store.connection import Database, Tx
from store.engine.leases import Glance, Lease, fence
from store.sealed_values import ERASE_OF_INSTANCE
from store.visits import Visits
from store.wakes import notify

ParkKind = Literal["gate", "delay", "jobs"]


@dataclass(frozen=True)
class StepRow:
    """What a step's row says of the step itself."""

    active: Active
    kind: str
    name: str
    input: dict[str, Any]
    limit: timedelta | None = None
    """How long the step may take, from when it opens."""


class Dropped(Exception):
    """The step is in no frontier: its branch was given up. Whoever runs it just stops."""


_RUNNING = "status = 'running', reason = '', park_kind = NULL"


async def open_step(
    db: Database,
    lease: Lease,
    row: StepRow,
    *,
    status: StepStatus = StepStatus.WAITING,
    wake_at: datetime | None = None,
    create: Callable[[Tx], Awaitable[None]] | None = None,
    frontier: Sequence[Active] | None = None,
) -> Glance:
    """Note that a step waits, with what it waits for, made by `create` in the same transaction.

    `status`: waiting for a decision or for time, running while its jobs do.
    `create` inserts the jobs or the approval request; it may raise, and then nothing is written.
    `frontier`: what runs from now on, when the step forks.
    Raises `Dropped` when the step was given up meanwhile, because its branch is wanted no more.
    """
    async with db.transaction() as tx:
        glance = await _fence_step(tx, lease, row.active)
        if frontier is not None:
            await tx.execute(
                "UPDATE instances SET frontier = $2 WHERE id = $1", lease.instance_id, _rows(frontier)
            )
        await tx.execute(
            f"""INSERT INTO step_results (instance_id, step_id, visit, kind, name, status, input, wake_at,
                                         deadline)
               VALUES ($1, $2, $3, $4, $5, $8, $6, $7, now() + $9::interval)
               ON CONFLICT (instance_id, step_id, visit) DO NOTHING
               RETURNING {channels.telling("instance", "instance_id")}""",
            lease.instance_id,
            row.active.step,
            row.active.visit,
            row.kind,
            row.name,
            row.input,
            wake_at,
            status,
            row.limit,
        )
        if create is not None:
            await create(tx)
    return glance


async def amend_step(
    db: Database, lease: Lease, active: Active, change: Callable[[Tx], Awaitable[None]]
) -> Glance:
    """Change what an open step waits for, by `change`; not while its instance is being cancelled.

    Raises `Dropped` like `open_step`.
    """
    async with db.transaction() as tx:
        glance = await _fence_step(tx, lease, active)
        if not glance.cancel_requested:
            await change(tx)
            await notify(tx, channels.EVENTS, f"instance:{lease.instance_id}")
    return glance


async def _fence_step(tx: Tx, lease: Lease, active: Active) -> Glance:
    """The fence for a step that begins, or goes on to do something: its instance waits no more."""
    glance = await fence(tx, lease)
    if _rows([active])[0] not in glance.frontier:
        raise Dropped(f"Step {active.step} of instance {lease.instance_id} is not wanted any more.")
    if glance.parked:
        await tx.execute(f"UPDATE instances SET {_RUNNING} WHERE id = $1", lease.instance_id)
    return glance


async def note_task_run(db: Database, lease: Lease, active: Active, task_run_id: UUID) -> None:
    """Keep the task run of a step's last segment, for the edges of Prefect's graph."""
    await db.execute(
        """UPDATE step_results SET task_run_id = $4 WHERE instance_id = $1 AND step_id = $2 AND visit = $3
             AND EXISTS (SELECT 1 FROM instances WHERE id = $1 AND epoch = $5)""",
        lease.instance_id,
        active.step,
        active.visit,
        task_run_id,
        lease.epoch,
    )


_CLOSE_STEP = """
INSERT INTO step_results AS r (instance_id, step_id, visit, kind, name, input, status, outcome,
       facts, reason, routed_to, task_run_id, ended_at)
   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, now())
   ON CONFLICT (instance_id, step_id, visit) DO UPDATE SET
       status = EXCLUDED.status, outcome = EXCLUDED.outcome, facts = EXCLUDED.facts,
       reason = EXCLUDED.reason, routed_to = EXCLUDED.routed_to,
       task_run_id = coalesce(EXCLUDED.task_run_id, r.task_run_id), ended_at = now()
"""


async def close_step(
    db: Database,
    lease: Lease,
    row: StepRow,
    *,
    status: str,
    outcome: str,
    facts: StepFacts | None,
    reason: str,
    advance: Advance,
    task_run_id: UUID | None,
    cause: str = "",
    outputs: dict[str, Any] | None = None,
) -> tuple[Advance, Glance]:
    """Write a step's result and the frontier after it; end the instance if the route does.

    `cause`: the instance's reason, should it fail or complete here; else it is the step's own.
    `outputs`: what it gives back, should it complete here.
    What the step has left unfinished is stopped: nothing of it runs beside what comes after it.
    Returns what follows (`advance`, or the end if cancelling was asked for meanwhile) and what the
    fence saw. Cancelling ends the jobs, so the step has often failed just because of it: that must
    not take its failure route.
    """
    async with db.transaction() as tx:
        glance = await fence(tx, lease)
        if glance.cancel_requested:
            advance = Advance((), InstanceStatus.CANCELLED, CANCELLED, "")
            status = StepStatus.CANCELLED if status == StepStatus.FAILED else status
        await tx.execute(
            _CLOSE_STEP,
            lease.instance_id,
            row.active.step,
            row.active.visit,
            row.kind,
            row.name,
            row.input,
            status,
            outcome,
            facts.model_dump(mode="json", exclude_none=True) if facts is not None else None,
            storable(" ".join(part for part in (reason, advance.reason) if part)),
            advance.target,
            task_run_id,
        )
        await tx.execute(
            f"""UPDATE instances SET frontier = $2{", " + _RUNNING if glance.parked else ""} WHERE id = $1
                RETURNING {channels.telling("instance", "id")}""",
            lease.instance_id,
            _rows(advance.frontier),
        )
        if advance.ended is None:  # a person may have retried a job since the step was found to be over
            over = f"Step {row.active.step} is over: {status}."
            await instance_cancel.stop_work(tx, lease.instance_id, over, SYSTEM, [row.active])
        if advance.dropped and advance.ended is None:
            won = f"Another branch of {row.active.step} came first."
            await _drop(tx, lease, won if outcome == Outcome.SUCCESS else storable(reason), advance.dropped)
        if advance.ended is not None:
            why = glance.cancel_reason if glance.cancel_requested else _why(advance, cause, reason)
            await _end(tx, lease, str(advance.ended), why, outputs)
    return advance, glance


def _why(advance: Advance, cause: str, reason: str) -> str:
    """The reason of an instance that a step's route has ended."""
    told = "" if advance.ended == InstanceStatus.CANCELLED else cause
    return storable(told or reason or advance.reason)


def _rows(frontier: Sequence[Active]) -> list[dict[str, Any]]:
    return [{"step": active.step, "visit": active.visit} for active in frontier]


async def _drop(tx: Tx, lease: Lease, reason: str, dropped: Visits) -> None:
    """Stop what runs in the branches of a step that has ended without them."""
    await tx.execute(
        f"""UPDATE step_results SET status = 'cancelled', ended_at = now(), reason = $4
            WHERE instance_id = $1 AND status IN ('waiting', 'running') AND {visits.OF_VISITS}""",
        lease.instance_id,
        *visits.columns(dropped),
        reason,
    )
    await instance_cancel.stop_work(tx, lease.instance_id, reason, SYSTEM, dropped)


async def end_cancelled(db: Database, lease: Lease, reason: str) -> None:
    """End an instance whose cancelling a person asked for; open steps end with it."""
    async with db.transaction() as tx:
        await fence(tx, lease)
        await _end(tx, lease, "cancelled", reason)
        await notify(tx, channels.EVENTS, f"instance:{lease.instance_id}")


async def _end(tx: Tx, lease: Lease, status: str, reason: str, outputs: dict[str, Any] | None = None) -> None:
    await tx.execute(
        """UPDATE step_results SET status = 'cancelled', ended_at = now(), reason = $2
           WHERE instance_id = $1 AND status IN ('waiting', 'running')""",
        lease.instance_id,
        reason,
    )
    await tx.execute(
        f"""WITH {ERASE_OF_INSTANCE}
            UPDATE instances SET status = $2, reason = $3, ended_at = now(), frontier = '[]',
                park_kind = NULL, wake_at = NULL, sealed_inputs = NULL, outputs = $4 WHERE id = $1""",
        lease.instance_id,
        status,
        reason,
        outputs if status == InstanceStatus.COMPLETED else None,
    )
    # Before its jobs: the locks of all identities at once, in their order (`store.checkouts`).
    await checkouts.end_of_instance(tx, lease.instance_id, f"The instance is {status}.")
    await instance_cancel.stop_work(tx, lease.instance_id, f"The instance is {status}.", SYSTEM)
    await audit.record(
        tx, SYSTEM, "instance.end", "instance", lease.instance_id, status=status, reason=reason
    )
    if status == InstanceStatus.FAILED:
        await notices.tell(tx, "instance.failed", lease.instance_id)


async def park(
    db: Database, lease: Lease, seen_seq: int, kind: ParkKind, wake_at: datetime | None, waits_for: str
) -> int | None:
    """Note that the instance only waits now. Returns the number of the park, or None if it was
    woken since `seen_seq` and must look again. `paused` when a gate or a delay is what it waits for."""
    async with db.transaction() as tx:
        glance = await fence(tx, lease)
        if glance.wake_seq != seen_seq or glance.cancel_requested:
            return None
        number: int = await tx.fetchval(
            """UPDATE instances SET parked_seq = wake_seq, park_n = park_n + 1, park_kind = $2, wake_at = $3,
                   reason = $4, status = CASE WHEN $2 = 'jobs' THEN status ELSE 'paused' END
               WHERE id = $1 RETURNING park_n""",
            lease.instance_id,
            kind,
            wake_at,
            waits_for,
        )
        await notify(tx, channels.EVENTS, f"instance:{lease.instance_id}")
        return number


async def unpark(db: Database, lease: Lease) -> None:
    """The suspension did not take: let the keeper look at the run and set it going again."""
    await db.execute(
        "UPDATE instances SET parked_seq = NULL WHERE id = $1 AND epoch = $2", lease.instance_id, lease.epoch
    )
