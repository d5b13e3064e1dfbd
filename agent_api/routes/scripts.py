"""`/api/v1/scripts`: scripts, their versions, running one and what came of it."""

from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from agent_api.authentication import Db, Person
from agent_api.guarded import GuardedRouter
from agent_api.ids import Moment, Paging, SomeId
from agent_api.routes.versioned import add_routes
from definitions.lifecycles.job import JobStatus
from definitions.script import parse_script
from store import execution_views, executions
from store.execution_views import ExecutionRow
from store.pages import Page
from store.scripts import SCRIPTS

router = GuardedRouter(prefix="/api/v1/scripts", tags=["scripts"])

add_routes(router, SCRIPTS, parse_script)


Reason = Annotated[str, Field(max_length=2000, description="Of one that runs as an identity: what for.")]


class Execution(BaseModel):
    """Where to run a script, and with what."""

    model_config = ConfigDict(extra="forbid")

    hosts: list[int | str] = Field(max_length=10_000)
    parameters: dict[str, Any] = Field(default_factory=dict)
    reason: Reason = ""


class Dispatched(BaseModel):
    """The jobs made, one a host, and the execution they belong to."""

    jobs: list[int]
    execution: int
    checkout: int | None
    """By which they run, if as an identity; while that waits for its approval or its turn, so do they."""


@router.post("/{ref}/execute", permission="scripts.manage", creates=True, status_code=201)
async def execute_script(db: Db, actor: Person, ref: str, body: Execution) -> Dispatched:
    """Run a script, one job a host."""
    made = await executions.execute(db, actor, ref, body.hosts, body.parameters, body.reason)
    return Dispatched(jobs=made.jobs, execution=made.id, checkout=made.checkout)


@router.get("/{ref}/executions", permission="scripts.view")
async def list_executions(
    db: Db,
    actor: Person,
    ref: str,
    window: Paging,
    status: Annotated[list[JobStatus] | None, Query()] = None,
    host: Annotated[str | None, Query(max_length=253)] = None,
    since: Annotated[Moment | None, Query()] = None,
    until: Annotated[Moment | None, Query()] = None,
    who: Annotated[str | None, Query(max_length=200)] = None,
    execution: SomeId = None,
    search: Annotated[str | None, Query(description="Exact text in what it printed.")] = None,
) -> Page[ExecutionRow]:
    """What it did on each host, the newest first. With `search` go on by `next` even after an empty page."""
    return await execution_views.listing(
        db,
        actor,
        ref,
        status=[str(each) for each in status or ()],
        host=host,
        since=since,
        until=until,
        who=who,
        execution=execution,
        search=search,
        **vars(window),
    )
