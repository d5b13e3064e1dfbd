"""What people see of recurring jobs: frozen models, and the SQL that fills them. Changes nothing."""

from datetime import datetime
from itertools import islice
from typing import Any, Literal
from zoneinfo import ZoneInfo

from cron_descriptor import ExpressionDescriptor, Options
from pydantic import BaseModel, ConfigDict

from definitions.cron import Cron, parse_cron
from definitions.errors import Invalid
from definitions.recurrence import parse_zone, ticks
from definitions.recurring_job import RecurringJob
from store import recurring_rows
from store.connection import Row, Tx

SHOWN_RUNS = 5
MOST_RUNS = 100


class TickView(BaseModel):
    """One line of the ledger."""

    model_config = ConfigDict(frozen=True)

    id: int
    at: datetime
    kind: Literal["cron", "manual"]
    outcome: Literal["ran", "skipped", "stopped"]
    reason: str
    fired_by: str | None
    answered_at: datetime
    jobs: list[int]
    instances: list[int]


class RecurringRow(BaseModel):
    """One line of a list of recurring jobs."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    cron: str
    timezone: str
    in_words: str
    content: Literal["job", "workflow"]
    owner: str
    """Whose rights its ticks need: who saved it last."""
    enabled: bool
    disabled_by: str | None
    recurrences: int
    """How many ticks of the expression have run."""
    max_recurrences: int | None
    end_date: datetime | None
    next_run_at: datetime | None
    """In the recurring job's own zone."""
    stopped: str | None
    """Why it fires no more."""
    archived: bool
    created_at: datetime


class RecurringView(RecurringRow):
    """One recurring job, whole."""

    definition: dict[str, Any]
    next_runs: list[datetime]
    """The next ones in its zone, whether or not it is enabled; none when it has stopped."""
    last_tick: TickView | None
    children: int
    deployment_id: str | None
    """Of Prefect's deployment."""


class Preview(BaseModel):
    """When an expression fires."""

    model_config = ConfigDict(frozen=True)

    in_words: str
    timezone: str
    runs: list[datetime]


def in_words(cron: Cron) -> str:
    """The expression in words."""
    options = Options()
    options.use_24hour_time_format = True
    words: str = ExpressionDescriptor(cron.text, options).get_description()
    return words


def preview(expression: object, timezone: object, count: int, now: datetime) -> Preview:
    """The next runs of an expression in a zone; `Invalid` with every problem of the two."""
    cron, problems = parse_cron(expression)
    zone, more = parse_zone(timezone)
    if cron is None or zone is None:
        raise Invalid("It can't be said when this fires.", [*problems, *more])
    return Preview(in_words=in_words(cron), timezone=zone.key, runs=_next(cron, zone, now, count))


def _next(cron: Cron, zone: ZoneInfo, now: datetime, count: int) -> list[datetime]:
    instants = (each.at for each in ticks(cron, zone, now) if not each.repeat)
    return [at.astimezone(zone) for at in islice(instants, count)]


def next_runs(wanted: RecurringJob, recurrences: int, now: datetime, count: int) -> list[datetime]:
    """Those that its limits leave."""
    left = count if wanted.max_recurrences is None else wanted.max_recurrences - recurrences
    runs = _next(*recurring_rows.schedule(wanted), now, max(0, min(count, left)))
    return [at for at in runs if wanted.end_date is None or at <= wanted.end_date]


def row_view(row: Row) -> RecurringRow:
    """The list view of a row."""
    return RecurringRow(**_shown(row, recurring_rows.definition_of(row)))


async def view(tx: Tx, row: Row) -> RecurringView:
    """Everything about one."""
    wanted = recurring_rows.definition_of(row)
    last = await tick_rows(tx, "WHERE t.recurring_job_id = $1 ORDER BY t.id DESC LIMIT 1", row["id"])
    now = await recurring_rows.clock(tx)
    return RecurringView(
        **_shown(row, wanted),
        definition=wanted.document(),
        next_runs=[] if row["stopped"] else next_runs(wanted, row["recurrences"], now, SHOWN_RUNS),
        last_tick=last[0] if last else None,
        children=await tx.fetchval(
            """SELECT (SELECT count(*) FROM jobs WHERE recurring_job_id = $1)
                    + (SELECT count(*) FROM instances WHERE recurring_job_id = $1)""",
            row["id"],
        ),
        deployment_id=None if row["deployment_id"] is None else str(row["deployment_id"]),
    )


async def tick_rows(tx: Tx, condition: str, *args: object) -> list[TickView]:
    """The ticks that `condition` (SQL of ours, over `t`) picks, with their children's ids."""
    rows = await tx.fetch(
        f"""SELECT t.id, t.at, t.kind, t.outcome, t.reason, t.fired_by_name AS fired_by, t.answered_at,
                   ARRAY (SELECT id FROM jobs j WHERE j.recurring_job_id = t.recurring_job_id
                          AND j.tick_id = t.id ORDER BY id) AS jobs,
                   ARRAY (SELECT id FROM instances i WHERE i.recurring_job_id = t.recurring_job_id
                          AND i.tick_id = t.id ORDER BY id) AS instances
            FROM ticks t {condition}""",
        *args,
    )
    return [TickView(**row) for row in rows]


def _shown(row: Row, wanted: RecurringJob) -> dict[str, Any]:
    cron, zone = recurring_rows.schedule(wanted)
    return {
        "id": row["id"],
        "name": row["name"],
        "cron": wanted.cron,
        "timezone": wanted.timezone,
        "in_words": in_words(cron),
        "content": "job" if wanted.job is not None else "workflow",
        "owner": row["owner_name"],
        "enabled": row["enabled"],
        "disabled_by": row["disabled_by"],
        "recurrences": row["recurrences"],
        "max_recurrences": wanted.max_recurrences,
        "end_date": wanted.end_date,
        "next_run_at": None if row["next_run_at"] is None else row["next_run_at"].astimezone(zone),
        "stopped": row["stopped"],
        "archived": row["archived_at"] is not None,
        "created_at": row["created_at"],
    }
