"""Lists of instances: what may be asked for, and the one query that answers. Changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from definitions.permissions import Actor, require
from store import instance_views, pages, references
from store.connection import Database
from store.instance_views import InstanceRow
from store.names import normalise
from store.pages import Page


@dataclass(frozen=True)
class InstanceFilter:
    """Which instances; what is left out does not matter, and all of the rest must fit."""

    status: Sequence[str] = ()
    """Any of these."""
    workflow: int | str | None = None
    """Id or name."""
    started_by: str | None = None
    """The name of who started it."""
    host: int | str | None = None
    """Id or name of one of its hosts."""
    since: datetime | None = None
    """Started then or later."""
    until: datetime | None = None
    """Started before then."""
    search: str | None = None
    """Text in the workflow's name, the inputs or the reason, in any case."""
    recurring_job: int | None = None
    """Started by a tick of it."""


async def listing(
    db: Database,
    actor: Actor,
    wanted: InstanceFilter | None = None,
    *,
    limit: int = 50,
    after: str | None = None,
) -> Page[InstanceRow]:
    """Instances, the newest first."""
    require(actor, "workflows.view")
    wanted = wanted or InstanceFilter()
    workflow_id, name = (None, None) if wanted.workflow is None else references.split(wanted.workflow)
    async with db.connection() as tx:
        found = await instance_views.rows(
            tx,
            """WHERE i.id < $1 AND (cardinality($2::text[]) = 0 OR i.status = ANY ($2))
                 AND ($3::bigint IS NULL OR i.workflow_id = $3) AND ($4::text IS NULL OR w.name = $4)
                 AND ($5::text IS NULL OR i.started_by_name = $5)
                 AND ($6::text IS NULL OR i.host_ids && ARRAY (
                        SELECT id FROM hosts WHERE id::text = $6 OR name = $6))
                 AND ($7::timestamptz IS NULL OR i.created_at >= $7)
                 AND ($8::timestamptz IS NULL OR i.created_at < $8)
                 AND ($9::text IS NULL OR position(
                        lower($9) IN lower(concat_ws(E'\\n', w.name, i.reason, i.inputs::text))) > 0)
                 AND ($10::bigint IS NULL OR i.recurring_job_id = $10)
               ORDER BY i.id DESC LIMIT $11""",
            pages.before(after),
            list(wanted.status),
            workflow_id,
            name,
            None if wanted.started_by is None else normalise(wanted.started_by),
            None if wanted.host is None else normalise(str(wanted.host)),
            wanted.since,
            wanted.until,
            wanted.search or None,
            wanted.recurring_job,
            pages.bounded(limit) + 1,
        )
    return pages.cut(found, limit, lambda row: row.id)
