"""Scripts: versioned text with declared parameters, run on hosts as jobs.

A version never changes; saving a change adds one. Scripts are archived, not erased, because
instances pin versions. Comparing and rolling back is `store.script_versions`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
from pydantic import BaseModel, ConfigDict

from definitions import job_types
from definitions.dispatch import script_payload
from definitions.errors import Conflict, Invalid
from definitions.parameters import bind
from definitions.permissions import Actor, require
from definitions.problems import Problem, has_errors
from definitions.script import Script
from definitions.secret_values import by_variable
from store import audit, jobs, pages, references, targets
from store.connection import Database, Row, Tx
from store.pages import Page


class ScriptView(BaseModel):
    """A script at one version."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    version: int
    newest_version: int
    definition: Script
    archived: bool
    created_at: datetime
    """Of this version."""
    created_by_name: str | None


class ScriptRow(BaseModel):
    """One line of the list of scripts, or of a script's versions."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    version: int
    language: str
    archived: bool
    created_at: datetime
    created_by_name: str | None


async def save(db: Database, actor: Actor, script: Script, ref: int | str | None = None) -> ScriptView:
    """Create a script (no reference), or add a version to one if it changed."""
    require(actor, "scripts.manage")
    _check(script)
    async with db.transaction() as tx:
        if ref is None:
            row = await _create(tx, actor, script)
            if row is None:
                raise Conflict(f"There is a script named {script.name!r} already.")
        else:
            row = await find(tx, ref, lock=True)
            await _update(tx, actor, row, script)
        return await _view(tx, row["id"])


async def put(db: Database, actor: Actor, script: Script) -> tuple[ScriptView, bool]:
    """Make the script of this name be this; says whether anything changed."""
    require(actor, "scripts.manage")
    _check(script)
    async with db.transaction() as tx:
        created = await _create(tx, actor, script)
        row = created or await find(tx, script.name, lock=True)
        changed = created is not None or await _update(tx, actor, row, script)
        return await _view(tx, row["id"]), changed


async def load_version(tx: Tx | Database, script_id: int, version: int) -> Script:
    """A script as it was at a version, for the engine."""
    row = await tx.fetchrow(
        """SELECT s.name, v.definition FROM scripts s JOIN script_versions v ON v.script_id = s.id
           WHERE s.id = $1 AND v.version = $2""",
        script_id,
        version,
    )
    if row is None:
        raise references.missing(f"version {version} of script", script_id)
    return _script(row)


async def show(db: Database, actor: Actor, ref: int | str, version: int | None = None) -> ScriptView:
    """One script, by id or name; the newest version unless another is asked for."""
    require(actor, "scripts.view")
    async with db.connection() as tx:
        row = await find(tx, ref)
        return await _view(tx, row["id"], version)


async def listing(
    db: Database, actor: Actor, *, limit: int = 50, after: str | None = None, archived: bool = False
) -> Page[ScriptRow]:
    """Scripts, the newest first."""
    require(actor, "scripts.view")
    rows = await db.fetch(
        f"""{SELECT_ROWS} WHERE v.version = s.version
              AND s.id < $1 AND (s.archived_at IS NOT NULL) = $2 ORDER BY s.id DESC LIMIT $3""",
        pages.before(after),
        archived,
        pages.bounded(limit) + 1,
    )
    return pages.cut([ScriptRow(**row) for row in rows], limit, lambda row: row.id)


async def archive(db: Database, actor: Actor, ref: int | str) -> None:
    """Hide a script; versions that are pinned stay."""
    require(actor, "scripts.manage")
    async with db.transaction() as tx:
        row = await find(tx, ref, lock=True)
        if row["archived_at"] is None:
            await tx.execute("UPDATE scripts SET archived_at = now() WHERE id = $1", row["id"])
            await audit.record(tx, actor, "script.archive", "script", row["id"], name=row["name"])


async def execute(
    db: Database,
    actor: Actor,
    ref: int | str,
    hosts: Sequence[int | str],
    parameters: Mapping[str, object],
) -> list[int]:
    """Run a script's newest version, one job a host; returns the jobs' ids. Secret values are sealed
    for each job in the same transaction."""
    require(actor, "scripts.manage")
    async with db.transaction() as tx:
        row = await find(tx, ref)
        if row["archived_at"] is not None:
            raise Conflict(f"The script {row['name']!r} is archived.")
        script = await load_version(tx, row["id"], row["version"])
        values, problems = bind(script.parameters, parameters, "/parameters")
        if has_errors(problems):
            raise Invalid(f"The parameters of {script.name!r} are not valid.", problems)
        payload = script_payload(script, values)
        new = [
            jobs.NewJob(
                type="script",
                host_id=host.id,
                payload=payload,
                priority=job_types.PRIORITY["script"],
                scheduled_at=None,
                script_id=row["id"],
                script_version=row["version"],
                secrets=by_variable(script.parameters, values),
            )
            for host in await targets.resolve(tx, hosts)
        ]
        made = await jobs.insert(tx, actor.name, actor.id, new, keys=db.keys)
        detail = {"name": script.name, "version": row["version"], "jobs": made}
        await audit.record(tx, actor, "script.execute", "script", row["id"], **detail)
        return made


async def find(tx: Tx, ref: int | str, *, lock: bool = False) -> Row:
    """The script's row (id, name, version, archived_at), or NotFound."""
    script_id, name = references.split(ref)
    row = await tx.fetchrow(
        f"""SELECT id, name, version, archived_at FROM scripts
            WHERE id = $1 OR name = $2 {"FOR UPDATE" if lock else ""}""",
        script_id,
        name,
    )
    if row is None:
        raise references.missing("script", ref)
    return row


def _check(script: Script) -> None:
    """Refuse what no host could be given faithfully yet, rather than run something else."""
    references.check_name(script.name)
    message = "This version of Opsgate can't run it."
    problems = [
        Problem(pointer=pointer, code="not-available-yet", message=message, fix=fix)
        for present, pointer, fix in (
            (script.libraries, "/libraries", "Put the functions into the script itself."),
            (script.run_as, "/run_as", "Leave `run_as` out; the script runs as the agent's user."),
        )
        if present
    ]
    if problems:
        raise Invalid(f"The script {script.name!r} can't be saved.", problems)


def _stored(script: Script) -> dict[str, Any]:
    return script.model_dump(mode="json", exclude={"name"})


def _script(row: Row) -> Script:
    return Script(name=row["name"], **row["definition"])


async def _create(tx: Tx, actor: Actor, script: Script) -> Row | None:
    row = await tx.fetchrow(
        """INSERT INTO scripts (name) VALUES ($1) ON CONFLICT (name) DO NOTHING
           RETURNING id, name, version, archived_at""",
        script.name,
    )
    if row is not None:
        await add_version(tx, actor, row["id"], 1, script)
    return row


async def _update(tx: Tx, actor: Actor, row: Row, script: Script) -> bool:
    newest = await load_version(tx, row["id"], row["version"])
    if newest == script and row["archived_at"] is None:
        return False
    try:
        await tx.execute(
            "UPDATE scripts SET name = $2, archived_at = NULL WHERE id = $1", row["id"], script.name
        )
    except asyncpg.UniqueViolationError as error:
        raise Conflict(f"There is a script named {script.name!r} already.") from error
    if _stored(newest) != _stored(script):
        await add_version(tx, actor, row["id"], row["version"] + 1, script)
    else:
        await audit.record(tx, actor, "script.rename", "script", row["id"], name=script.name)
    return True


async def add_version(tx: Tx, actor: Actor, script_id: int, version: int, script: Script) -> None:
    """Write a version and make it the newest; the caller holds the script's lock."""
    await tx.execute(
        "INSERT INTO script_versions (script_id, version, definition, created_by) VALUES ($1, $2, $3, $4)",
        script_id,
        version,
        _stored(script),
        actor.id,
    )
    await tx.execute("UPDATE scripts SET version = $2 WHERE id = $1", script_id, version)
    await audit.record(tx, actor, "script.save", "script", script_id, name=script.name, version=version)


SELECT_ROWS = """
SELECT s.id, s.name, v.version, v.definition ->> 'language' AS language,
       s.archived_at IS NOT NULL AS archived, v.created_at, u.name AS created_by_name
FROM scripts s JOIN script_versions v ON v.script_id = s.id LEFT JOIN users u ON u.id = v.created_by
"""
"""Rows of `ScriptRow`: every version; the caller adds WHERE."""


async def _view(tx: Tx, script_id: int, version: int | None = None) -> ScriptView:
    row = await tx.fetchrow(
        """SELECT s.id, s.name, v.version, s.version AS newest_version, v.definition,
                  s.archived_at IS NOT NULL AS archived, v.created_at, u.name AS created_by_name
           FROM scripts s
           JOIN script_versions v ON v.script_id = s.id AND v.version = coalesce($2, s.version)
           LEFT JOIN users u ON u.id = v.created_by WHERE s.id = $1""",
        script_id,
        version,
    )
    if row is None:
        raise references.missing(f"version {version} of script", script_id)
    return ScriptView(**{**row, "definition": _script(row)})
