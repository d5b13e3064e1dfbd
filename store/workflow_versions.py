"""The published versions of a workflow, looked at: nothing here changes one."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from definitions.permissions import Actor, require
from store import version_diffs, workflows
from store.connection import Database
from store.version_diffs import VersionDiff


class WorkflowVersionView(BaseModel):
    """One published version."""

    model_config = ConfigDict(frozen=True)

    version: int
    definition: dict[str, Any]
    published_by_name: str | None
    published_at: datetime


async def versions(db: Database, actor: Actor, workflow_ref: int | str) -> list[WorkflowVersionView]:
    """The published versions, the newest first."""
    require(actor, "workflows.view")
    async with db.connection() as tx:
        row = await workflows.find(tx, workflow_ref)
        rows = await tx.fetch(
            """SELECT v.version, v.definition, u.name AS published_by_name, v.published_at
               FROM workflow_versions v LEFT JOIN users u ON u.id = v.published_by
               WHERE v.workflow_id = $1 ORDER BY v.version DESC""",
            row["id"],
        )
    return [WorkflowVersionView(**row) for row in rows]


async def diff(db: Database, actor: Actor, workflow_ref: int | str, old: int, new: int) -> VersionDiff:
    """Compare two published versions."""
    require(actor, "workflows.view")
    async with db.connection() as tx:
        row = await workflows.find(tx, workflow_ref)
        before = await workflows.version_document(tx, row["id"], old)
        after = await workflows.version_document(tx, row["id"], new)
    return version_diffs.compare(old, before, new, after)
