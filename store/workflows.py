"""Workflows: drafts that may have problems, and published versions that have been proved.

A draft is kept as written, and replaced only by somebody who has seen its newest revision. A
published version never changes; in it scripts are named by id, so a renamed script is still found.
"""

import asyncio
import json
import re
from datetime import datetime
from typing import Any

import asyncpg
from pydantic import BaseModel, ConfigDict

from definitions.errors import Conflict, Invalid, StaleEdit
from definitions.examination import read_workflow
from definitions.permissions import Actor, require
from definitions.problems import Problem, has_errors
from definitions.proof import Catalogue, prove
from definitions.steps import ScriptStep, Step
from definitions.workflow import Workflow, parse
from store import audit, catalogue, outbox, pages, recurring_uses, references, version_diffs
from store.connection import Database, Row, Tx
from store.pages import Page

MAX_DOCUMENT_BYTES = 1024 * 1024
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""A NUL as JSON escapes it, not the text backslash-u-0000; PostgreSQL keeps none."""
_OUT_OF_SIGHT = Problem(
    pointer="/steps",
    code="out-of-sight",
    message="Something is wrong with scripts, hosts or identities named here, and you may not view them.",
    fix="Ask somebody who may view these to publish it.",
)


class WorkflowRow(BaseModel):
    """One line of the list of workflows."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    description: str
    revision: int
    """Of the draft: rises with every save; the ETag."""
    published_version: int | None
    published_at: datetime | None
    archived: bool
    created_at: datetime


class WorkflowView(WorkflowRow):
    """A workflow with its draft and what is wrong with it."""

    draft: dict[str, Any]
    problems: list[Problem]
    """Of the draft; publishing needs it to have no errors."""
    changed_since_published: bool
    """Whether publishing the draft would make a new version."""


async def save_draft(
    db: Database,
    actor: Actor,
    document: dict[str, Any],
    workflow_id: int | str | None = None,
    revision: int | None = None,
) -> WorkflowView:
    """Create a workflow (no id), or replace the draft of one whose revision the caller has seen."""
    require(actor, "workflows.manage")
    name, draft = _checked(document)
    async with db.transaction() as tx:
        if workflow_id is None:
            row = await _create(tx, actor, name, draft)
            if row is None:
                raise Conflict(f"There is a workflow named {name!r} already.")
        else:
            row = await find(tx, workflow_id, lock=True)
            _check_revision(row, revision, draft)
            await _replace(tx, actor, row, name, draft)
        return await _view(tx, actor, row["id"])


async def put(
    db: Database, actor: Actor, document: dict[str, Any], *, publish: bool = False
) -> tuple[WorkflowView, bool]:
    """Make the workflow of this name be this definition; says whether anything changed."""
    require(actor, "workflows.manage")
    name, draft = _checked(document)
    async with db.transaction() as tx:
        created = await _create(tx, actor, name, draft)
        row = created or await find(tx, name, lock=True)
        changed = created is not None or await _replace(tx, actor, row, name, draft)
        if publish:
            row = await find(tx, row["id"], lock=True)
            changed = await _publish(tx, actor, row, row["draft"]) or changed
        return await _view(tx, actor, row["id"]), changed


async def validate(db: Database, actor: Actor, document: dict[str, Any]) -> list[Problem]:
    """Every problem of a definition, saved nowhere."""
    require(actor, "workflows.view")
    check_size(document)
    async with db.connection() as tx:
        return (await _examine(tx, actor, document))[2]


async def publish(
    db: Database, actor: Actor, workflow_ref: int | str, revision: int | None = None
) -> WorkflowView:
    """Prove the draft and make it the version that new instances run."""
    require(actor, "workflows.manage")
    async with db.transaction() as tx:
        row = await find(tx, workflow_ref, lock=True)
        if revision is not None:
            _check_revision(row, revision)
        await _publish(tx, actor, row, row["draft"])
        return await _view(tx, actor, row["id"])


async def rollback(db: Database, actor: Actor, workflow_ref: int | str, version: int) -> WorkflowView:
    """Publish an older version again, as the newest, once it is proved against what there is now.

    The draft becomes it too, unless it has changes that were never published: these stay.
    """
    require(actor, "workflows.manage")
    async with db.transaction() as tx:
        row = await find(tx, workflow_ref, lock=True)
        older = await version_document(tx, row["id"], version)
        _, draft = _checked({**older, "name": row["name"]})
        unpublished = (await _view(tx, actor, row["id"])).changed_since_published
        if await _publish(tx, actor, row, draft, of_version=version) and not unpublished:
            await _replace(tx, actor, row, row["name"], draft)
        return await _view(tx, actor, row["id"])


async def show(db: Database, actor: Actor, workflow_ref: int | str) -> WorkflowView:
    """One workflow, by id or name."""
    require(actor, "workflows.view")
    async with db.connection() as tx:
        row = await find(tx, workflow_ref)
        return await _view(tx, actor, row["id"])


async def listing(
    db: Database, actor: Actor, *, limit: int = 50, after: str | None = None, archived: bool = False
) -> Page[WorkflowRow]:
    """Workflows, the newest first."""
    require(actor, "workflows.view")
    rows = await db.fetch(
        f"{_ROWS} WHERE w.id < $1 AND (w.archived_at IS NOT NULL) = $2 ORDER BY w.id DESC LIMIT $3",
        pages.before(after),
        archived,
        pages.bounded(limit) + 1,
    )
    return pages.cut([WorkflowRow(**row) for row in rows], limit, lambda row: row.id)


async def archive(db: Database, actor: Actor, workflow_ref: int | str) -> None:
    """Hide a workflow and start no more of it; its instances go on. Not while a recurring job needs it."""
    require(actor, "workflows.manage")
    async with db.transaction() as tx:
        row = await find(tx, workflow_ref, lock=True)
        if row["archived_at"] is None:
            if users := await recurring_uses.users(tx, "workflow", row):
                raise Conflict(f"The workflow {row['name']!r} is needed by {references.listed(users)}.")
            await tx.execute("UPDATE workflows SET archived_at = now() WHERE id = $1", row["id"])
            await audit.record(tx, actor, "workflow.archive", "workflow", row["id"], name=row["name"])


async def find(tx: Tx, ref: int | str, *, lock: bool = False) -> Row:
    """The workflow's row, or NotFound."""
    workflow_id, name = references.split(ref)
    row = await tx.fetchrow(
        f"""SELECT id, name, draft, revision, published_version, archived_at FROM workflows
            WHERE id = $1 OR name = $2 {"FOR UPDATE" if lock else ""}""",
        workflow_id,
        name,
    )
    if row is None:
        raise references.missing("workflow", ref)
    return row


async def version_document(tx: Tx | Database, workflow_id: int, version: int) -> dict[str, Any]:
    """A published definition as it is stored, or NotFound."""
    document: dict[str, Any] | None = await tx.fetchval(
        "SELECT definition FROM workflow_versions WHERE workflow_id = $1 AND version = $2",
        workflow_id,
        version,
    )
    if document is None:
        raise references.missing(f"version {version} of workflow", workflow_id)
    return document


async def load_version(tx: Tx | Database, workflow_id: int, version: int) -> Workflow:
    """A published definition, for the engine."""
    workflow, problems = parse(await version_document(tx, workflow_id, version))
    if workflow is None:
        raise RuntimeError(
            f"published version {version} of workflow {workflow_id} does not parse: {problems}"
        )
    return workflow


def _checked(document: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name, and the draft to keep. All else that may be wrong with it is a problem of the draft."""
    name = document.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= 200:
        problem = Problem(
            pointer="/name", code="missing-name", message="A workflow needs a name.", fix='Add "name".'
        )
        raise Invalid("A workflow needs a name of at most 200 characters.", [problem])
    references.check_name(name)
    draft = {key: value for key, value in document.items() if key != "kind"}
    check_size(draft)
    try:
        text = json.dumps(draft, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise Invalid(f"The definition of {name!r} is not JSON: {error}.") from error
    if _NUL.search(text):
        raise Invalid(f"The definition of {name!r} has a NUL character in a text.")
    return name, draft


def check_size(document: dict[str, Any]) -> None:
    """Refuse a definition that is larger than any that may be saved, before anything is made of it."""
    try:
        size = len(json.dumps(document, ensure_ascii=False).encode("utf-8", "replace"))
    except RecursionError:
        raise Invalid("The definition is nested too deep.") from None
    if size > MAX_DOCUMENT_BYTES:
        raise Invalid(f"The definition is larger than {MAX_DOCUMENT_BYTES // 1024} KiB.")


def _check_revision(row: Row, seen: int | None, wanted: dict[str, Any] | None = None) -> None:
    """Refuse what goes by a draft that has been replaced. `wanted`: what was to be saved."""
    if seen == row["revision"]:
        return
    message = (
        f"The draft of {row['name']!r} is at revision {row['revision']}, and you saw revision {seen}: "
        "look at what changed and try again."
    )
    if wanted is None:
        raise Conflict(message)
    now = f"revision {row['revision']}"
    raise StaleEdit(message, version_diffs.between(row["draft"], wanted, now, "yours"))


async def _create(tx: Tx, actor: Actor, name: str, draft: dict[str, Any]) -> Row | None:
    row = await tx.fetchrow(
        """INSERT INTO workflows (name, draft) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING
           RETURNING id, name, draft, revision, published_version, archived_at""",
        name,
        draft,
    )
    if row is not None:
        await audit.record(tx, actor, "workflow.save", "workflow", row["id"], name=name, revision=1)
    return row


async def _replace(tx: Tx, actor: Actor, row: Row, name: str, draft: dict[str, Any]) -> bool:
    changed, archived = _canonical(row["draft"]) != _canonical(draft), row["archived_at"] is not None
    if not changed and not archived:
        return False
    if row["name"] != name:
        await recurring_uses.refuse_rename(tx, "workflow", row["name"])
    try:
        revision = await tx.fetchval(
            """UPDATE workflows SET name = $2, draft = $3, revision = revision + $4, archived_at = NULL
               WHERE id = $1 RETURNING revision""",
            row["id"],
            name,
            draft,
            int(changed),
        )
    except asyncpg.UniqueViolationError as error:
        raise Conflict(f"There is a workflow named {name!r} already.") from error
    if archived:
        await audit.record(tx, actor, "workflow.restore", "workflow", row["id"], name=name)
    if row["name"] != name:
        await audit.record(tx, actor, "workflow.rename", "workflow", row["id"], name=name, was=row["name"])
    if changed:
        await audit.record(tx, actor, "workflow.save", "workflow", row["id"], name=name, revision=revision)
    return True


async def _examine(
    tx: Tx, actor: Actor, document: dict[str, Any]
) -> tuple[Workflow | None, Catalogue | None, list[Problem]]:
    """The workflow, all that there is, and every problem, in words that tell the actor of nothing they may
    not view."""
    reading = await asyncio.to_thread(read_workflow, document)  # other requests go on meanwhile
    known = None if reading.provable is None else await catalogue.load(tx, reading.provable)
    seen = None if known is None else catalogue.seen_by(actor, known)
    return reading.workflow, known, await asyncio.to_thread(reading.prove, seen)


async def _publish(
    tx: Tx, actor: Actor, row: Row, document: dict[str, Any], of_version: int | None = None
) -> bool:
    """Prove and publish under the workflow's lock; whether that made a version. `of_version`: an older
    one that it repeats."""
    if row["archived_at"] is not None:
        raise Conflict(f"The workflow {row['name']!r} is archived; save it again to bring it back.")
    workflow, known, problems = await _examine(tx, actor, document)
    if workflow and known and catalogue.seen_by(actor, known) != known and not has_errors(problems):
        in_full = await asyncio.to_thread(prove, workflow, known)
        problems += [_OUT_OF_SIGHT] if has_errors(in_full) else []
    if workflow is None or known is None or has_errors(problems):
        raise Invalid(f"The workflow {row['name']!r} can't be published as it is.", problems)
    definition = _by_id(workflow, known).document()
    current = await tx.fetchval(
        "SELECT definition FROM workflow_versions WHERE workflow_id = $1 AND version = $2",
        row["id"],
        row["published_version"],
    )
    if current is not None and _canonical(current) == _canonical(definition):
        return False
    version = (row["published_version"] or 0) + 1
    await tx.execute(
        """INSERT INTO workflow_versions (workflow_id, version, definition, published_by)
           VALUES ($1, $2, $3, $4)""",
        row["id"],
        version,
        definition,
        actor.id,
    )
    await tx.execute("UPDATE workflows SET published_version = $2 WHERE id = $1", row["id"], version)
    await outbox.add(tx, "deploy_workflow", {"workflow_id": row["id"]})
    detail = {"name": row["name"], "version": version}
    again = {} if of_version is None else {"of_version": of_version}
    await audit.record(tx, actor, "workflow.publish", "workflow", row["id"], **detail, **again)
    return True


def _by_id(workflow: Workflow, known: Catalogue) -> Workflow:
    """The same workflow with every script named by its id, and every identity by its name, which stays while
    a published workflow has it."""
    ids = {script.name: script.id for script in known.scripts or ()}

    def named(step: Step) -> Step:
        if isinstance(step, ScriptStep):
            return step.model_copy(update={"script": ids.get(str(step.script), step.script)})
        return step

    return known.identities_by_name(workflow).changed(named)


def _canonical(document: object) -> str:
    """Text to compare by: for Python `1 == True`, for a reader of JSON not."""
    return json.dumps(document, sort_keys=True)


_COLUMNS = """w.id, w.name, coalesce(w.draft ->> 'description', '') AS description, w.revision,
    w.published_version, v.published_at, w.archived_at IS NOT NULL AS archived, w.created_at"""
_FROM = """FROM workflows w
    LEFT JOIN workflow_versions v ON v.workflow_id = w.id AND v.version = w.published_version"""
_ROWS = f"SELECT {_COLUMNS} {_FROM}"


async def _view(tx: Tx, actor: Actor, workflow_id: int) -> WorkflowView:
    row = await tx.fetchrow(f"SELECT {_COLUMNS}, w.draft, v.definition {_FROM} WHERE w.id = $1", workflow_id)
    if row is None:
        raise references.missing("workflow", workflow_id)
    workflow, known, problems = await _examine(tx, actor, row["draft"])
    fields = dict(row)
    published = fields.pop("definition")
    changed = (
        workflow is None
        or known is None
        or _canonical(_by_id(workflow, known).document()) != _canonical(published)
    )
    return WorkflowView(**fields, problems=problems, changed_since_published=changed)
