"""Recurring jobs: templates from which ticks make jobs or instances. What people do to them.

Firing is `store.ticks`; what Prefect has of them is `store.engine.schedules`. What one dispatches, jobs or a
workflow, is fixed when it is made, so that its children are all of one kind.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import asyncpg

from definitions.errors import Conflict, Invalid
from definitions.permissions import Actor, require
from definitions.problems import Problem, has_errors
from definitions.recurring_job import RecurringJob, parse_recurring_job, read_recurring_job
from store import (
    audit,
    instance_lists,
    job_lists,
    pages,
    recurring_content,
    recurring_rows,
    recurring_views,
    references,
    ticks,
)
from store.connection import Database, Row, Tx
from store.instance_lists import InstanceFilter
from store.instance_views import InstanceRow
from store.job_lists import JobFilter
from store.job_views import JobRow
from store.pages import Page
from store.recurring_views import Preview, RecurringRow, RecurringView, TickView
from store.ticks import ByHand


async def save(
    db: Database, actor: Actor, document: Mapping[str, Any], ref: int | str | None = None
) -> RecurringView:
    """Create one (no reference), or change it; `Invalid` names every problem there is."""
    require(actor, "jobs.manage")
    async with db.transaction() as tx:
        if ref is None:
            wanted = await _checked(tx, actor, document, None)
            row = await _create(tx, actor, wanted)
            if row is None:
                raise Conflict(f"There is a recurring job named {wanted.name!r} already.")
        else:
            row = await recurring_rows.find(tx, ref, lock=True)
            await _update(tx, actor, row, await _checked(tx, actor, document, row))
        return await _view(tx, row["id"])


async def put(db: Database, actor: Actor, document: Mapping[str, Any]) -> tuple[RecurringView, bool]:
    """Make the one of this name be this; says whether anything changed."""
    require(actor, "jobs.manage")
    async with db.transaction() as tx:
        name = document.get("name")
        found = await tx.fetchval("SELECT id FROM recurring_jobs WHERE name = $1", str(name))
        before = None if found is None else await recurring_rows.find(tx, found, lock=True)
        wanted = await _checked(tx, actor, document, before)
        created = await _create(tx, actor, wanted) if before is None else None
        row = created or before or await recurring_rows.find(tx, wanted.name, lock=True)
        changed = created is not None or await _update(tx, actor, row, wanted)
        return await _view(tx, row["id"]), changed


async def switch(db: Database, actor: Actor, ref: int | str, *, enabled: bool) -> RecurringView:
    """Enable or disable one. Ticks that come while it is disabled are not made up for."""
    async with db.transaction() as tx:
        row = await recurring_rows.find(tx, ref, lock=True)
        recurring_content.require_rights(actor, recurring_rows.definition_of(row))
        if row["archived_at"] is not None:
            raise Conflict(f"The recurring job {row['name']!r} is archived; save it again to bring it back.")
        await switch_row(tx, actor, row, enabled=enabled)
        return await _view(tx, row["id"])


async def switch_row(tx: Tx, actor: Actor, row: Row, *, enabled: bool) -> None:
    """The same for a locked row; permission is the caller's."""
    if row["enabled"] == enabled:
        return
    await ticks.leave_out_due(tx, row, f"Disabled by {actor.name} before it was answered.")
    await tx.execute(
        "UPDATE recurring_jobs SET enabled = $2, disabled_by = $3 WHERE id = $1",
        row["id"],
        enabled,
        None if enabled else actor.name,
    )
    verb = "enable" if enabled else "disable"
    await audit.record(tx, actor, f"recurring_job.{verb}", "recurring_job", row["id"], name=row["name"])
    await recurring_rows.begin_anew(tx, row["id"], await recurring_rows.clock(tx))


async def archive(db: Database, actor: Actor, ref: int | str) -> None:
    """Hide one and fire it no more; its ticks and children stay."""
    async with db.transaction() as tx:
        row = await recurring_rows.find(tx, ref, lock=True)
        recurring_content.require_rights(actor, recurring_rows.definition_of(row))
        if row["archived_at"] is not None:
            return
        await ticks.leave_out_due(tx, row, f"Archived by {actor.name} before it was answered.")
        await tx.execute("UPDATE recurring_jobs SET archived_at = now() WHERE id = $1", row["id"])
        await audit.record(tx, actor, "recurring_job.archive", "recurring_job", row["id"], name=row["name"])
        await recurring_rows.begin_anew(tx, row["id"], await recurring_rows.clock(tx))


async def run(db: Database, actor: Actor, ref: int | str) -> TickView:
    """Fire it now, by hand."""
    require(actor, "jobs.manage")
    made: ByHand = await ticks.fire_by_hand(db, actor, ref)
    async with db.connection() as tx:
        return (await recurring_views.tick_rows(tx, "WHERE t.id = $1", made.id))[0]


# -- reading -----------------------------------------------------------------------------------
async def show(db: Database, actor: Actor, ref: int | str) -> RecurringView:
    """One, by id or name."""
    require(actor, "jobs.view")
    async with db.connection() as tx:
        return await recurring_views.view(tx, await recurring_rows.find(tx, ref))


async def of_deployment(db: Database, actor: Actor, deployment_id: UUID) -> RecurringView | None:
    """The one that is this deployment in Prefect; None if none of ours is."""
    require(actor, "jobs.view")
    async with db.connection() as tx:
        row = await tx.fetchrow("SELECT * FROM recurring_jobs WHERE deployment_id = $1", deployment_id)
        return None if row is None else await recurring_views.view(tx, row)


async def is_deployed(db: Database, number: int) -> bool:
    """Whether Prefect knows the newest of it."""
    known: bool = await db.fetchval(
        "SELECT deployed_seq >= wanted_seq FROM recurring_jobs WHERE id = $1", number
    )
    return known


async def listing(
    db: Database, actor: Actor, *, limit: int = 50, after: str | None = None, archived: bool = False
) -> Page[RecurringRow]:
    """Recurring jobs, the newest first."""
    require(actor, "jobs.view")
    rows = await db.fetch(
        """SELECT * FROM recurring_jobs WHERE id < $1 AND (archived_at IS NOT NULL) = $2
           ORDER BY id DESC LIMIT $3""",
        pages.before(after),
        archived,
        pages.bounded(limit) + 1,
    )
    return pages.cut([recurring_views.row_view(row) for row in rows], limit, lambda row: row.id)


async def ledger(
    db: Database, actor: Actor, ref: int | str, *, limit: int = 50, after: str | None = None
) -> Page[TickView]:
    """Its ticks, the last answered first."""
    require(actor, "jobs.view")
    async with db.connection() as tx:
        row = await recurring_rows.find(tx, ref)
        found = await recurring_views.tick_rows(
            tx,
            "WHERE t.recurring_job_id = $1 AND t.id < $2 ORDER BY t.id DESC LIMIT $3",
            row["id"],
            pages.before(after),
            pages.bounded(limit) + 1,
        )
    return pages.cut(found, limit, lambda tick: tick.id)


async def children(
    db: Database, actor: Actor, ref: int | str, *, limit: int = 50, after: str | None = None
) -> Page[JobRow] | Page[InstanceRow]:
    """What its ticks made, jobs or instances, the newest first."""
    require(actor, "jobs.view")
    async with db.connection() as tx:
        row = await recurring_rows.find(tx, ref)
    if "workflow" in row["definition"]:
        made = InstanceFilter(recurring_job=row["id"])
        return await instance_lists.listing(db, actor, made, limit=limit, after=after)
    return await job_lists.listing(db, actor, JobFilter(recurring_job=row["id"]), limit=limit, after=after)


async def preview(db: Database, actor: Actor, ref: int | str, count: int) -> Preview:
    """Its next runs."""
    require(actor, "jobs.view")
    async with db.connection() as tx:
        row = await recurring_rows.find(tx, ref)
        wanted, now = recurring_rows.definition_of(row), await recurring_rows.clock(tx)
    shown = recurring_views.preview(wanted.cron, wanted.timezone, 1, now)
    runs = [] if row["stopped"] else recurring_views.next_runs(wanted, row["recurrences"], now, count)
    return shown.model_copy(update={"runs": runs})


# -- saving ------------------------------------------------------------------------------------
async def _checked(tx: Tx, actor: Actor, document: Mapping[str, Any], before: Row | None) -> RecurringJob:
    """The definition, or `Invalid` with everything that is wrong, also with what it names."""
    kept = None if before is None else recurring_rows.definition_of(before)
    wanted, problems = parse_recurring_job(dict(document), await recurring_rows.clock(tx))
    if wanted is None:
        # An end date that has passed since it was saved may stay as it is.
        again, _ = read_recurring_job(dict(document))
        if again is not None and kept is not None and again.end_date == kept.end_date:
            wanted, problems = again, []
    if wanted is None:
        # What it dispatches is checked all the same: every problem at once.
        content = {key: document[key] for key in ("job", "workflow") if key in document}
        readable, _ = read_recurring_job({"name": "it", "cron": "0 0 * * *", **content})
        more = [] if readable is None else await recurring_content.problems_of(tx, readable)
        raise Invalid("The recurring job is not valid.", [*problems, *more])
    recurring_content.require_rights(actor, wanted)
    references.check_name(wanted.name)
    problems = [*problems, *await recurring_content.problems_of(tx, wanted)]
    if kept is not None and (kept.job is None) != (wanted.job is None):
        message = "A recurring job can't be changed from jobs to a workflow, or back."
        problems.append(
            Problem(pointer="", code="job-or-workflow", message=message, fix="Make another recurring job.")
        )
    if has_errors(problems):
        raise Invalid(f"The recurring job {wanted.name!r} is not valid.", problems)
    return wanted


async def _create(tx: Tx, actor: Actor, wanted: RecurringJob) -> Row | None:
    row_id = await tx.fetchval(
        """INSERT INTO recurring_jobs (name, definition, owner_id, owner_name, enabled, disabled_by)
           VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO NOTHING RETURNING id""",
        wanted.name,
        recurring_rows.stored(wanted),
        _owner(actor),
        actor.name,
        wanted.enabled,
        None if wanted.enabled else actor.name,
    )
    if row_id is None:
        return None
    await audit.record(tx, actor, "recurring_job.save", "recurring_job", row_id, name=wanted.name)
    await recurring_rows.begin_anew(tx, row_id, await recurring_rows.clock(tx))
    return await recurring_rows.find(tx, row_id)


async def _update(tx: Tx, actor: Actor, row: Row, wanted: RecurringJob) -> bool:
    if recurring_rows.definition_of(row) == wanted and row["archived_at"] is None:
        return False
    await ticks.leave_out_due(tx, row, f"Changed by {actor.name} before it was answered.")
    try:
        await tx.execute(
            """UPDATE recurring_jobs SET name = $2, definition = $3, owner_id = $4, owner_name = $5,
                   enabled = $6, archived_at = NULL,
                   disabled_by = CASE WHEN $6 THEN NULL WHEN enabled THEN $5 ELSE disabled_by END
               WHERE id = $1""",
            row["id"],
            wanted.name,
            recurring_rows.stored(wanted),
            _owner(actor),
            actor.name,
            wanted.enabled,
        )
    except asyncpg.UniqueViolationError as error:
        raise Conflict(f"There is a recurring job named {wanted.name!r} already.") from error
    await audit.record(tx, actor, "recurring_job.save", "recurring_job", row["id"], name=wanted.name)
    await recurring_rows.begin_anew(tx, row["id"], await recurring_rows.clock(tx))
    return True


def _owner(actor: Actor) -> int:
    if actor.person is None:
        raise Invalid("A recurring job is a person's: its ticks need their rights.")
    return actor.person


async def _view(tx: Tx, row_id: int) -> RecurringView:
    return await recurring_views.view(tx, await recurring_rows.find(tx, row_id))
