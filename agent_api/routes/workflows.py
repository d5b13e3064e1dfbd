"""`/api/v1/workflows`: drafts, problems, published versions, starting an instance."""

from typing import Annotated, Any

from fastapi import Body, Header, HTTPException, Response
from pydantic import BaseModel, ConfigDict, Field

from agent_api.authentication import Db, Person
from agent_api.guarded import GuardedRouter
from agent_api.ids import Paging
from agent_api.routes.versioned import Version, VersionNumber
from definitions.errors import Invalid
from definitions.problems import Problem, has_errors
from definitions.simulation import Simulation
from store import instances, simulations, workflow_versions, workflows
from store.instance_views import InstanceView
from store.pages import Page
from store.version_diffs import VersionDiff
from store.workflow_versions import WorkflowVersionRow, WorkflowVersionView
from store.workflows import WorkflowRow, WorkflowView

router = GuardedRouter(prefix="/api/v1/workflows", tags=["workflows"])

Scenario = Annotated[
    dict[str, Any],
    Body(description="What is given: `inputs`, `hosts`, `started_by`, `now`, and how `steps` come out."),
]
Document = Annotated[dict[str, Any], Body(description="A workflow as in a definition file.")]
Seen = Annotated[str | None, Header(alias="If-Match", description="The revision seen, as the ETag gave it.")]


class Start(BaseModel):
    """Where to run a workflow, and with what."""

    model_config = ConfigDict(extra="forbid")

    hosts: list[int | str] = Field(default_factory=list, max_length=10_000)
    """None, when every step that runs on hosts names its own."""
    inputs: dict[str, Any] = Field(default_factory=dict)


class Simulate(BaseModel):
    """A definition to walk on paper, and what is given."""

    model_config = ConfigDict(extra="forbid")

    workflow: dict[str, Any]
    """As in a definition file."""
    scenario: dict[str, Any] = Field(default_factory=dict)
    """`inputs`, `hosts`, `started_by`, `now`, and how each of `steps` comes out."""


class Validation(BaseModel):
    """What is wrong with a definition."""

    valid: bool
    """Whether it could be published: warnings do not stand against it."""
    problems: list[Problem]


def _tag(view: WorkflowView, response: Response) -> WorkflowView:
    response.headers["ETag"] = f'"{view.revision}"'
    return view


def _revision(seen: str) -> int:
    text = seen.strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Invalid("If-Match holds one revision, as the ETag gave it.")
    return int(text)


@router.get("", permission="workflows.view")
async def list_workflows(
    db: Db,
    actor: Person,
    window: Paging,
    archived: bool = False,
) -> Page[WorkflowRow]:
    """Workflows, the newest first."""
    return await workflows.listing(db, actor, archived=archived, **vars(window))


@router.post("", permission="workflows.manage", creates=True, status_code=201)
async def create_workflow(db: Db, actor: Person, document: Document, response: Response) -> WorkflowView:
    """Save a new workflow as a draft; it may have problems."""
    return _tag(await workflows.save_draft(db, actor, document), response)


@router.post("/validate", permission="workflows.view")
async def validate_workflow(db: Db, actor: Person, document: Document) -> Validation:
    """Every problem of a definition, against what exists here. Saves nothing."""
    problems = await workflows.validate(db, actor, document)
    return Validation(valid=not has_errors(problems), problems=problems)


@router.post("/simulate", permission="workflows.view")
async def simulate_workflow(db: Db, actor: Person, body: Simulate) -> Simulation:
    """The path a definition takes under a scenario, what each step is sent, and why. Touches no host."""
    return await simulations.of_document(db, actor, body.workflow, body.scenario)


@router.put(
    "/by-name/{name}",
    permission="workflows.manage",
    responses={201: {"model": WorkflowView, "description": "Created or changed"}},
)
async def put_workflow(
    db: Db, actor: Person, name: str, document: Document, response: Response, publish: bool = False
) -> WorkflowView:
    """Make the workflow of this name be this. 201: created or changed it; 200: it was so already."""
    if document.get("name", name) != name:
        raise Invalid(f"The workflow is named {document['name']!r} and the address says {name!r}.")
    view, changed = await workflows.put(db, actor, {**document, "name": name}, publish=publish)
    response.status_code = 201 if changed else 200
    return _tag(view, response)


@router.get("/{ref}", permission="workflows.view")
async def show_workflow(db: Db, actor: Person, ref: str, response: Response) -> WorkflowView:
    """One workflow with its draft; the ETag is the draft's revision."""
    return _tag(await workflows.show(db, actor, ref), response)


@router.put(
    "/{ref}", permission="workflows.manage", responses={428: {"description": "`If-Match` is missing"}}
)
async def save_workflow(
    db: Db, actor: Person, ref: str, document: Document, response: Response, seen: Seen = None
) -> WorkflowView:
    """Replace a draft. `If-Match` says which revision was edited: 428 without; 409 when it is stale, with
    the `diff` from the draft as it is now to what was sent."""
    if seen is None:
        raise HTTPException(428, "Send If-Match with the revision you edited, as the ETag gave it.")
    return _tag(await workflows.save_draft(db, actor, document, ref, _revision(seen)), response)


@router.delete("/{ref}", permission="workflows.manage", status_code=204)
async def archive_workflow(db: Db, actor: Person, ref: str) -> None:
    """Archive a workflow; its instances go on."""
    await workflows.archive(db, actor, ref)


@router.get("/{ref}/versions", permission="workflows.view")
async def list_workflow_versions(db: Db, actor: Person, ref: str, window: Paging) -> Page[WorkflowVersionRow]:
    """The published versions, the newest first."""
    return await workflow_versions.versions(db, actor, ref, **vars(window))


@router.get("/{ref}/versions/{version}", permission="workflows.view")
async def show_workflow_version(
    db: Db, actor: Person, ref: str, version: VersionNumber
) -> WorkflowVersionView:
    """One published version with its definition."""
    return await workflow_versions.one(db, actor, ref, version)


@router.get("/{ref}/versions/{old}/diff/{new}", permission="workflows.view")
async def diff_workflow_versions(
    db: Db, actor: Person, ref: str, old: VersionNumber, new: VersionNumber
) -> VersionDiff:
    """What changed from one published version to another."""
    return await workflow_versions.diff(db, actor, ref, old, new)


@router.post("/{ref}/rollback", permission="workflows.manage", creates=True)
async def roll_back_workflow(
    db: Db, actor: Person, ref: str, body: Version, response: Response
) -> WorkflowView:
    """Publish an older version again, as the newest; 422 with every problem when it can't run any more."""
    return _tag(await workflows.rollback(db, actor, ref, body.version), response)


@router.post("/{ref}/publish", permission="workflows.manage", creates=True)
async def publish_workflow(
    db: Db, actor: Person, ref: str, response: Response, seen: Seen = None
) -> WorkflowView:
    """Publish the draft; 422 with every problem when it has errors."""
    revision = None if seen is None else _revision(seen)
    return _tag(await workflows.publish(db, actor, ref, revision), response)


@router.post("/{ref}/simulate", permission="workflows.view")
async def simulate_draft(db: Db, actor: Person, ref: str, scenario: Scenario) -> Simulation:
    """The same of a saved workflow's draft."""
    return await simulations.of_draft(db, actor, ref, scenario)


@router.post("/{ref}/start", permission="workflows.manage", creates=True, status_code=201)
async def start_workflow(db: Db, actor: Person, ref: str, body: Start) -> InstanceView:
    """Start an instance of the published version."""
    return await instances.start(db, actor, ref, body.hosts, body.inputs)
