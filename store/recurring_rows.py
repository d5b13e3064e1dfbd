"""The row of a recurring job: found, locked, read as its definition, and moved on.

`wanted_seq` rises with everything Prefect has to know; the keeper brings Prefect along.
"""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from definitions.cron import Cron, parse_cron
from definitions.due_ticks import Standing, limit_of
from definitions.recurrence import next_tick
from definitions.recurring_job import RecurringJob
from store import channels, references
from store.connection import Row, Tx
from store.wakes import notify

_BUSY = """SELECT EXISTS (SELECT 1 FROM jobs WHERE recurring_job_id = $1
                            AND status IN ('queued', 'pending', 'running'))
               OR EXISTS (SELECT 1 FROM instances WHERE recurring_job_id = $1 AND ended_at IS NULL)"""


async def find(tx: Tx, ref: int | str, *, lock: bool = False) -> Row:
    """The row, by id or name, or NotFound."""
    number, name = references.split(ref)
    row = await tx.fetchrow(
        f"SELECT * FROM recurring_jobs WHERE id = $1 OR name = $2 {'FOR UPDATE' if lock else ''}",
        number,
        name,
    )
    if row is None:
        raise references.missing("recurring job", ref)
    return row


async def clock(tx: Tx) -> datetime:
    """The database's clock, at this moment: a transaction that waited for a lock began before it."""
    now: datetime = await tx.fetchval("SELECT clock_timestamp()")
    return now


def definition_of(row: Row) -> RecurringJob:
    """The definition that a row holds; it was checked when it was saved."""
    return RecurringJob.model_validate({**row["definition"], "name": row["name"], "enabled": row["enabled"]})


def stored(wanted: RecurringJob) -> dict[str, Any]:
    """What the column `definition` keeps."""
    return wanted.model_dump(mode="json", exclude={"name", "enabled"}, exclude_none=True)


def schedule(wanted: RecurringJob) -> tuple[Cron, ZoneInfo]:
    """The expression and the zone, which were checked before."""
    cron, problems = parse_cron(wanted.cron)
    if cron is None:
        raise RuntimeError(f"a saved expression can't be read: {problems}")
    return cron, ZoneInfo(wanted.timezone)


async def standing(tx: Tx, row: Row, wanted: RecurringJob) -> Standing:
    """How a locked template stands."""
    return Standing(
        overlap=wanted.overlap,
        catch_up=wanted.catch_up,
        catch_up_limit=wanted.catch_up_limit,
        max_recurrences=wanted.max_recurrences,
        end_date=wanted.end_date,
        recurrences=row["recurrences"],
        busy=await tx.fetchval(_BUSY, row["id"]),
    )


async def begin_anew(tx: Tx, row_id: int, now: datetime) -> None:
    """After a change: the next run from now on, or why there is none; Prefect is told."""
    row = await find(tx, row_id, lock=True)
    wanted = definition_of(row)
    next_at = next_tick(*schedule(wanted), now)
    stopped = limit_of(await standing(tx, row, wanted), next_at)
    goes = wanted.enabled and stopped is None and row["archived_at"] is None
    await tx.execute(
        """UPDATE recurring_jobs SET answered_until = greatest(answered_until, $2), next_run_at = $3,
               stopped = $4, wanted_seq = wanted_seq + 1 WHERE id = $1""",
        row_id,
        now,
        next_at if goes else None,
        stopped,
    )
    await notify(tx, channels.OUTBOX)
    await notify(tx, channels.EVENTS, f"recurring_job:{row_id}")
