"""Lists of jobs: what may be asked for, and the one query that answers. Changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from definitions.permissions import Actor, require
from store import job_views, pages, references
from store.connection import Database
from store.job_views import JobRow
from store.names import normalise
from store.pages import Page


@dataclass(frozen=True)
class JobFilter:
    """Which jobs; what is left out does not matter, and all of the rest must fit."""

    status: Sequence[str] = ()
    """Any of these."""
    host: int | str | None = None
    """Id or name."""
    type: str | None = None
    script: int | str | None = None
    """Id or name."""
    instance: int | None = None
    created_by: str | None = None
    """The name of who made it."""
    since: datetime | None = None
    """Made then or later."""
    until: datetime | None = None
    """Made before then."""
    recurring_job: int | None = None
    """Made by a tick of it."""


async def listing(
    db: Database, actor: Actor, wanted: JobFilter | None = None, *, limit: int = 50, after: str | None = None
) -> Page[JobRow]:
    """Jobs, newest first."""
    require(actor, "jobs.view")
    wanted = wanted or JobFilter()
    script_id, script_name = (None, None) if wanted.script is None else references.split(wanted.script)
    rows = await db.fetch(
        f"""{job_views.SELECT}
            WHERE j.id < $1 AND (cardinality($2::text[]) = 0 OR j.status = ANY($2))
              AND ($3::text IS NULL OR j.host_id IN (SELECT id FROM hosts WHERE id::text = $3 OR name = $3))
              AND ($4::text IS NULL OR j.type = $4)
              AND ($5::bigint IS NULL OR j.script_id = $5)
              AND ($6::text IS NULL OR j.script_id IN (SELECT id FROM scripts WHERE name = $6))
              AND ($7::bigint IS NULL OR j.instance_id = $7)
              AND ($8::text IS NULL OR j.created_by_name = $8)
              AND ($9::timestamptz IS NULL OR j.created_at >= $9)
              AND ($10::timestamptz IS NULL OR j.created_at < $10)
              AND ($11::bigint IS NULL OR j.recurring_job_id = $11)
            ORDER BY j.id DESC LIMIT $12""",
        pages.before(after),
        list(wanted.status),
        None if wanted.host is None else normalise(str(wanted.host)),
        wanted.type,
        script_id,
        script_name,
        wanted.instance,
        None if wanted.created_by is None else normalise(wanted.created_by),
        wanted.since,
        wanted.until,
        wanted.recurring_job,
        pages.bounded(limit) + 1,
    )
    return pages.cut([job_views.row_view(row) for row in rows], limit, lambda job: job.id)
