"""The versions of a script: list them, compare two, go back to one.

Going back adds a version with the old content; nothing is rewritten.
"""

import difflib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict

from definitions.permissions import Actor, require
from definitions.script import Script
from store import job_views, pages, scripts
from store.connection import Database
from store.job_views import JobRow
from store.pages import Page
from store.scripts import ScriptRow, ScriptView


class ScriptDiff(BaseModel):
    """What changed from one version to another."""

    model_config = ConfigDict(frozen=True)

    old: int
    new: int
    settings: str
    """Unified diff of everything but the content, as JSON lines; empty: the same."""
    content: str
    """Unified diff of the content; empty: the same."""


async def versions(db: Database, actor: Actor, ref: int | str) -> list[ScriptRow]:
    """A script's versions, the newest first."""
    require(actor, "scripts.view")
    async with db.connection() as tx:
        row = await scripts.find(tx, ref)
        rows = await tx.fetch(f"{scripts.SELECT_ROWS} WHERE s.id = $1 ORDER BY v.version DESC", row["id"])
    return [ScriptRow(**row) for row in rows]


async def diff(db: Database, actor: Actor, ref: int | str, old: int, new: int) -> ScriptDiff:
    """Compare two versions."""
    require(actor, "scripts.view")
    async with db.connection() as tx:
        row = await scripts.find(tx, ref)
        before = await scripts.load_version(tx, row["id"], old)
        after = await scripts.load_version(tx, row["id"], new)
    names = (f"version {old}", f"version {new}")
    return ScriptDiff(
        old=old,
        new=new,
        settings=_unified(_settings(before), _settings(after), *names),
        content=_unified(before.content, after.content, *names),
    )


async def rollback(db: Database, actor: Actor, ref: int | str, version: int) -> ScriptView:
    """Make an older version's content the newest again."""
    require(actor, "scripts.manage")
    async with db.connection() as tx:
        row = await scripts.find(tx, ref)
        wanted = await scripts.load_version(tx, row["id"], version)
    return await scripts.save(db, actor, wanted, row["id"])


async def executions(
    db: Database, actor: Actor, ref: int | str, *, limit: int = 50, after: str | None = None
) -> Page[JobRow]:
    """The jobs that ran a script by hand or in a workflow, the newest first."""
    require(actor, "scripts.view")
    async with db.connection() as tx:
        row = await scripts.find(tx, ref)
        rows = await tx.fetch(
            f"{job_views.SELECT} WHERE j.script_id = $1 AND j.id < $2 ORDER BY j.id DESC LIMIT $3",
            row["id"],
            pages.before(after),
            pages.bounded(limit) + 1,
        )
    return pages.cut([job_views.row_view(row) for row in rows], limit, lambda job: job.id)


def _settings(script: Script) -> str:
    values: dict[str, Any] = script.model_dump(mode="json", exclude={"name", "content"})
    return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False)


def _unified(before: str, after: str, old: str, new: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), old, new, lineterm="")
    return "\n".join(lines)
