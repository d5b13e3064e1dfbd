"""`/api/v1/scripts`: scripts, their versions, running one."""

from typing import Annotated, Any

from fastapi import Body, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from agent_api.authentication import Db, Person
from agent_api.guarded import GuardedRouter
from agent_api.ids import After, Limit
from definitions.errors import Invalid
from definitions.problems import has_errors
from definitions.script import Script, parse_script
from store import pages, script_versions, scripts
from store.job_views import JobRow
from store.pages import Page
from store.script_versions import ScriptDiff
from store.scripts import ScriptRow, ScriptView

router = GuardedRouter(prefix="/api/v1/scripts", tags=["scripts"])

Document = Annotated[dict[str, Any], Body(description="A script as in a definition file, `content` inline.")]


VersionNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]


class Execution(BaseModel):
    """Where to run a script, and with what."""

    model_config = ConfigDict(extra="forbid")

    hosts: list[int | str] = Field(max_length=10_000)
    parameters: dict[str, Any] = Field(default_factory=dict)


class Dispatched(BaseModel):
    """The jobs made, one a host."""

    jobs: list[int]


class Version(BaseModel):
    """Which version to go back to."""

    model_config = ConfigDict(extra="forbid")

    version: VersionNumber


def _script(document: dict[str, Any]) -> Script:
    script, problems = parse_script(document)
    if script is None or has_errors(problems):
        raise Invalid("The script is not valid.", problems)
    return script


@router.get("", permission="scripts.view")
async def list_scripts(
    db: Db,
    actor: Person,
    limit: Limit = pages.DEFAULT_LIMIT,
    after: After = None,
    archived: bool = False,
) -> Page[ScriptRow]:
    """Scripts, the newest first."""
    return await scripts.listing(db, actor, limit=limit, after=after, archived=archived)


@router.post("", permission="scripts.manage", creates=True, status_code=201)
async def create_script(db: Db, actor: Person, document: Document) -> ScriptView:
    """Save a new script."""
    return await scripts.save(db, actor, _script(document))


@router.put("/by-name/{name}", permission="scripts.manage")
async def put_script(db: Db, actor: Person, name: str, document: Document, response: Response) -> ScriptView:
    """Make the script of this name be this. 201: created or changed it; 200: it was so already."""
    if document.get("name", name) != name:
        raise Invalid(f"The script is named {document['name']!r} and the address says {name!r}.")
    view, changed = await scripts.put(db, actor, _script({**document, "name": name}))
    response.status_code = 201 if changed else 200
    return view


@router.get("/{ref}", permission="scripts.view")
async def show_script(
    db: Db, actor: Person, ref: str, version: Annotated[VersionNumber | None, Query()] = None
) -> ScriptView:
    """One script; the newest version unless another is asked for."""
    return await scripts.show(db, actor, ref, version)


@router.put("/{ref}", permission="scripts.manage")
async def save_script(db: Db, actor: Person, ref: str, document: Document) -> ScriptView:
    """Save a change of a script as its next version."""
    return await scripts.save(db, actor, _script(document), ref)


@router.delete("/{ref}", permission="scripts.manage", status_code=204)
async def archive_script(db: Db, actor: Person, ref: str) -> None:
    """Archive a script; instances that pinned a version keep it."""
    await scripts.archive(db, actor, ref)


@router.get("/{ref}/versions", permission="scripts.view")
async def list_script_versions(db: Db, actor: Person, ref: str) -> list[ScriptRow]:
    """A script's versions, the newest first."""
    return await script_versions.versions(db, actor, ref)


@router.get("/{ref}/versions/{old}/diff/{new}", permission="scripts.view")
async def diff_script(db: Db, actor: Person, ref: str, old: VersionNumber, new: VersionNumber) -> ScriptDiff:
    """What changed from one version to another."""
    return await script_versions.diff(db, actor, ref, old, new)


@router.post("/{ref}/rollback", permission="scripts.manage", creates=True)
async def roll_back_script(db: Db, actor: Person, ref: str, body: Version) -> ScriptView:
    """Save an older version again, as the newest."""
    return await script_versions.rollback(db, actor, ref, body.version)


@router.post("/{ref}/execute", permission="scripts.manage", creates=True, status_code=201)
async def execute_script(db: Db, actor: Person, ref: str, body: Execution) -> Dispatched:
    """Run a script, one job a host."""
    return Dispatched(jobs=await scripts.execute(db, actor, ref, body.hosts, body.parameters))


@router.get("/{ref}/executions", permission="scripts.view")
async def list_executions(
    db: Db, actor: Person, ref: str, limit: Limit = pages.DEFAULT_LIMIT, after: After = None
) -> Page[JobRow]:
    """The script's jobs, the newest first."""
    return await script_versions.executions(db, actor, ref, limit=limit, after=after)
