"""A step's hosts and the job each has, as the engine reads and moves them. Decides nothing.

Whoever moves them holds the instance's lock (`commits.amend_step`), which every end of one of its jobs takes
too; `lock` adds the jobs themselves, which agents claim and start without it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from definitions.permissions import SYSTEM
from definitions.rollout import Standing
from definitions.routing import Active
from store import audit, jobs
from store.connection import Database, Row, Tx


@dataclass(frozen=True)
class HostWork:
    """One host of a step, and its job if it has one."""

    host_id: int
    host: str
    job_id: int | None
    status: str | None
    attempt: int
    scheduled_at: datetime | None
    reason: str
    exit_code: int | None
    stopping: bool
    gone: bool

    @property
    def standing(self) -> Standing:
        """What `definitions.rollout` decides by."""
        return Standing(self.status, self.attempt, self.stopping, self.gone)


@dataclass(frozen=True)
class StepWork:
    """All hosts of a step, in target order."""

    hosts: tuple[HostWork, ...]
    now: datetime
    """By the database's clock, as what follows."""
    deadline: datetime | None
    expired: bool


_WORK = """
SELECT h.id AS host_id, h.name AS host, j.id AS job_id, j.status, coalesce(j.attempt, 1) AS attempt,
       j.scheduled_at, coalesce(j.reason, '') AS reason, j.exit_code,
       j.cancel_requested_at IS NOT NULL AS stopping, h.decommissioned_at IS NOT NULL AS gone,
       clock_timestamp() AS now, s.deadline, coalesce(s.deadline <= clock_timestamp(), false) AS expired
FROM step_results s CROSS JOIN LATERAL unnest(s.host_ids) WITH ORDINALITY AS target (host_id, nr)
JOIN hosts h ON h.id = target.host_id
LEFT JOIN jobs j ON j.instance_id = s.instance_id AND j.step_id = s.step_id AND j.visit = s.visit
                AND j.host_id = h.id
WHERE s.instance_id = $1 AND s.step_id = $2 AND s.visit = $3 ORDER BY target.nr
"""

_DEADLINE = """
SELECT clock_timestamp() AS now, deadline, coalesce(deadline <= clock_timestamp(), false) AS expired
FROM step_results WHERE instance_id = $1 AND step_id = $2 AND visit = $3
"""


async def of_step(tx: Tx, instance_id: int, active: Active) -> StepWork:
    """How the hosts of one visit of a step stand."""
    rows = [dict(row) for row in await tx.fetch(_WORK, instance_id, active.step, active.visit)]
    if not rows:  # on no host it would count as done
        raise RuntimeError(f"step {active.step} has no hosts")
    about = {name: [row.pop(name) for row in rows] for name in ("now", "deadline", "expired")}
    hosts = tuple(HostWork(**row) for row in rows)
    return StepWork(hosts, about["now"][0], about["deadline"][0], any(about["expired"]))


async def has_begun(db: Database, instance_id: int, active: Active) -> bool:
    """Whether one visit of a step has hosts; until then it is not open, or waits for who it runs as."""
    begun: bool = await db.fetchval(
        """SELECT EXISTS (SELECT FROM step_results WHERE instance_id = $1 AND step_id = $2 AND visit = $3
                          AND status <> 'waiting')""",
        instance_id,
        active.step,
        active.visit,
    )
    return begun


async def deadline_of_step(tx: Tx, instance_id: int, active: Active) -> Row:
    """`now`, the step's `deadline`, and whether it has `expired`, all by the database's clock."""
    row = await tx.fetchrow(_DEADLINE, instance_id, active.step, active.visit)
    if row is None:
        raise RuntimeError(f"step {active.step} has not begun")
    return row


async def aim(
    tx: Tx, instance_id: int, active: Active, host_ids: Sequence[int], sent: dict[str, Any]
) -> datetime | None:
    """Have an open step begin, and keep which hosts it is meant for, as a tag may mean others tomorrow, and
    what it sends them. Its deadline."""
    deadline: datetime | None = await tx.fetchval(
        """UPDATE step_results SET host_ids = $4, input = $5, status = 'running'
           WHERE instance_id = $1 AND step_id = $2 AND visit = $3 RETURNING deadline""",
        instance_id,
        active.step,
        active.visit,
        list(host_ids),
        sent,
    )
    return deadline


async def lock(tx: Tx, instance_id: int, active: Active) -> None:
    """Keep the step's jobs as they are until the transaction ends."""
    await tx.execute(
        """SELECT 1 FROM jobs WHERE instance_id = $1 AND step_id = $2 AND visit = $3
           ORDER BY id FOR UPDATE""",
        instance_id,
        active.step,
        active.visit,
    )


async def try_again(tx: Tx, pauses: Mapping[int, float]) -> None:
    """Queue the next attempt of locked jobs that have failed, each after so many seconds."""
    for job_id, pause in pauses.items():
        attempt = await jobs.requeue(tx, job_id, pause)
        await audit.record(tx, SYSTEM, "job.retry", "job", job_id, attempt=attempt)


async def stop(tx: Tx, job_ids: Sequence[int], reason: str) -> None:
    """Cancel locked jobs: those that run are asked to stop, and end when their agent says so."""
    for row in await tx.fetch("SELECT * FROM jobs WHERE id = ANY ($1) ORDER BY id", list(job_ids)):
        await jobs.stop(tx, row, reason)
