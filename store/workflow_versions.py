"""The published versions of a workflow, looked at: nothing here changes one."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from definitions.permissions import Actor, require
from store import pages, references, version_diffs, workflows
from store.connection import Database
from store.pages import Page
from store.version_diffs import VersionDiff

_COLUMNS = "v.version, u.name AS published_by_name, v.published_at"
_FROM = "FROM workflow_versions v LEFT JOIN users u ON u.id = v.published_by"


class WorkflowVersionRow(BaseModel):
    """One line of the list of published versions."""

    model_config = ConfigDict(frozen=True)

    version: int
    published_by_name: str | None
    published_at: datetime


class WorkflowVersionView(WorkflowVersionRow):
    """One published version."""

    definition: dict[str, Any]


async def versions(
    db: Database, actor: Actor, workflow_ref: int | str, *, limit: int = 50, after: str | None = None
) -> Page[WorkflowVersionRow]:
    """The published versions, the newest first; what they say, `one` tells."""
    require(actor, "workflows.view")
    async with db.connection() as tx:
        row = await workflows.find(tx, workflow_ref)
        rows = await tx.fetch(
            f"""SELECT {_COLUMNS} {_FROM} WHERE v.workflow_id = $1 AND v.version < $2::bigint
                ORDER BY v.version DESC LIMIT $3""",
            row["id"],
            pages.before(after),
            pages.bounded(limit) + 1,
        )
    return pages.cut([WorkflowVersionRow(**row) for row in rows], limit, lambda row: row.version)


async def one(db: Database, actor: Actor, workflow_ref: int | str, version: int) -> WorkflowVersionView:
    """A published version with its definition, or NotFound."""
    require(actor, "workflows.view")
    async with db.connection() as tx:
        row = await workflows.find(tx, workflow_ref)
        found = await tx.fetchrow(
            f"SELECT {_COLUMNS}, v.definition {_FROM} WHERE v.workflow_id = $1 AND v.version = $2",
            row["id"],
            version,
        )
    if found is None:
        raise references.missing(f"version {version} of workflow", workflow_ref)
    return WorkflowVersionView(**found)


async def diff(db: Database, actor: Actor, workflow_ref: int | str, old: int, new: int) -> VersionDiff:
    """Compare two published versions."""
    require(actor, "workflows.view")
    async with db.connection() as tx:
        row = await workflows.find(tx, workflow_ref)
        before = await workflows.version_document(tx, row["id"], old)
        after = await workflows.version_document(tx, row["id"], new)
    return version_diffs.compare(old, before, new, after)
