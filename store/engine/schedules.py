"""What Prefect has of recurring jobs: what it still has to be told, and what it says by itself.

The keeper and the worker ask; what people do is `store.recurring_jobs`.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from definitions.permissions import Actor
from definitions.recurring_job import RecurringJob
from store import recurring_jobs, recurring_rows
from store.connection import Database, Row

PREFECT = Actor("system", None, "Prefect")
"""Who paused one, when it was paused there."""

OVERDUE_SECONDS = 20
"""How long a tick is left to Prefect's schedule. It skips hours that come twice, and makes nothing of the
time in which it was away: the keeper answers what is due longer."""


@dataclass(frozen=True)
class Wanted:
    """What Prefect shall have of a recurring job."""

    id: int
    definition: RecurringJob
    seq: int
    """Of what it shall know."""
    active: bool
    archived: bool
    either_day: bool
    deployment_id: UUID | None
    paused_there: bool
    """It is disabled, and that came from Prefect."""


async def outdated(db: Database, limit: int = 50) -> list[Wanted]:
    """Those of which Prefect does not know the newest."""
    rows = await db.fetch(
        "SELECT * FROM recurring_jobs WHERE wanted_seq > deployed_seq ORDER BY id LIMIT $1", limit
    )
    return [_wanted(row) for row in rows]


async def deployed(db: Database, limit: int = 200, after: int = 0) -> list[Wanted]:
    """Those of which it does, in the order of their ids: to be compared with what it has."""
    rows = await db.fetch(
        """SELECT * FROM recurring_jobs WHERE wanted_seq = deployed_seq AND deployment_id IS NOT NULL
             AND id > $2 ORDER BY id LIMIT $1""",
        limit,
        after,
    )
    return [_wanted(row) for row in rows]


async def told(db: Database, wanted: Wanted, deployment_id: UUID | None) -> None:
    """Prefect has it now."""
    await db.execute(
        """UPDATE recurring_jobs SET deployed_seq = greatest(deployed_seq, $2), deployment_id = $3
           WHERE id = $1""",
        wanted.id,
        wanted.seq,
        deployment_id,
    )


async def differs(db: Database, wanted: Wanted) -> None:
    """Prefect's was changed or deleted there: it is to be told again."""
    await db.execute(
        "UPDATE recurring_jobs SET wanted_seq = wanted_seq + 1 WHERE id = $1 AND wanted_seq = $2",
        wanted.id,
        wanted.seq,
    )


async def switched_there(db: Database, wanted: Wanted, *, enabled: bool) -> None:
    """It was paused in Prefect, or its pause was ended there; what was changed here meanwhile wins."""
    async with db.transaction() as tx:
        row = await recurring_rows.find(tx, wanted.id, lock=True)
        if row["wanted_seq"] == wanted.seq and row["archived_at"] is None:
            await recurring_jobs.switch_row(tx, PREFECT, row, enabled=enabled)
            # Prefect is so already: to tell it again would undo what somebody does there meanwhile.
            await tx.execute("UPDATE recurring_jobs SET deployed_seq = wanted_seq WHERE id = $1", wanted.id)


async def overdue(db: Database) -> list[int]:
    """Those with a tick that is due longer than it is left to Prefect."""
    rows = await db.fetch(
        f"""SELECT id FROM recurring_jobs
            WHERE next_run_at < now() - interval '{OVERDUE_SECONDS} seconds' ORDER BY next_run_at LIMIT 100"""
    )
    return [row["id"] for row in rows]


async def is_its_own(db: Database, recurring_job_id: int, deployment_id: UUID | None) -> bool:
    """Whether a deployment is that of this recurring job: its runs may fire it, and no others."""
    found: bool = await db.fetchval(
        "SELECT EXISTS (SELECT 1 FROM recurring_jobs WHERE id = $1 AND deployment_id = $2)",
        recurring_job_id,
        deployment_id,
    )
    return found


async def is_answered(db: Database, recurring_job_id: int, at: datetime) -> bool:
    """Whether nothing is left to fire up to a moment."""
    left: bool = await db.fetchval(
        "SELECT EXISTS (SELECT 1 FROM recurring_jobs WHERE id = $1 AND next_run_at <= $2)",
        recurring_job_id,
        at,
    )
    return not left


def _wanted(row: Row) -> Wanted:
    definition = recurring_rows.definition_of(row)
    return Wanted(
        id=row["id"],
        definition=definition,
        seq=row["wanted_seq"],
        active=row["enabled"] and row["stopped"] is None and row["archived_at"] is None,
        archived=row["archived_at"] is not None,
        either_day=recurring_rows.schedule(definition)[0].either_day,
        deployment_id=row["deployment_id"],
        paused_there=not row["enabled"] and row["disabled_by"] == PREFECT.name,
    )
