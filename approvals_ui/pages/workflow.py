"""`/workflows/{id}`: what a workflow does, the forms that start, publish and archive it, and its draft.

What was given is bound and refused by `instances.start`; here it only travels.
"""

import asyncio

from fastapi import Request
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from agent_api.authentication import Db, Person
from agent_api.ids import Id
from agent_api.problem_responses import status_of
from approvals_ui.forms import form, given_inputs, text
from approvals_ui.rendering import page
from approvals_ui.visitor import pages_router
from definitions.errors import Invalid, OpsgateError
from definitions.permissions import Actor, may
from definitions.step_words import StepWords, in_words
from definitions.steps import ScriptStep
from definitions.workflow import Workflow, all_steps, parse
from store import hosts, instances, scripts, workflows
from store.connection import Database
from store.hosts import HostView

router = pages_router()
HOSTS_SHOWN = 200


@router.get("/workflows/{workflow_id}", permission="workflows.view")
async def show(request: Request, db: Db, actor: Person, workflow_id: Id) -> Response:
    """The workflow and its start form."""
    return await _page(request, db, actor, workflow_id)


@router.post("/workflows/{workflow_id}/start", permission="workflows.manage")
async def start(request: Request, db: Db, actor: Person, workflow_id: Id) -> Response:
    """Start an instance; a refusal comes back with its reasons and what was filled in."""
    fields = await form(request)
    try:
        started = await instances.start(db, actor, workflow_id, _targets(fields), given_inputs(fields))
    except OpsgateError as refused:
        return await _page(request, db, actor, workflow_id, fields, refused)
    return RedirectResponse(f"/instances/{started.id}", 303)


@router.post("/workflows/{workflow_id}/publish", permission="workflows.manage")
async def publish(request: Request, db: Db, actor: Person, workflow_id: Id) -> Response:
    """Publish the draft as it was seen; a refusal comes back with every problem."""
    revision = text(await form(request), "revision")
    try:
        if not (revision.isascii() and revision.isdigit() and len(revision) < 10):
            raise Invalid("The revision that was seen is missing.")
        await workflows.publish(db, actor, workflow_id, int(revision))
    except OpsgateError as refused:
        return await _page(request, db, actor, workflow_id, refused=refused)
    return RedirectResponse(f"/workflows/{workflow_id}", 303)


@router.post("/workflows/{workflow_id}/archive", permission="workflows.manage")
async def archive(request: Request, db: Db, actor: Person, workflow_id: Id) -> Response:
    """Archive it; refused, saying why, while a recurring job needs it."""
    await form(request)
    try:
        await workflows.archive(db, actor, workflow_id)
    except OpsgateError as refused:
        return await _page(request, db, actor, workflow_id, refused=refused)
    return RedirectResponse("/workflows", 303)


def _targets(fields: FormData) -> list[str]:
    """The hosts that were ticked, and those named in words."""
    ticked = [value for value in fields.getlist("host") if isinstance(value, str)]
    return [*ticked, *text(fields, "targets").replace(",", " ").split()]


async def _page(
    request: Request,
    db: Database,
    actor: Actor,
    workflow_id: int,
    fields: FormData | None = None,
    refused: OpsgateError | None = None,
) -> Response:
    view = await workflows.show(db, actor, workflow_id)
    published = None
    if view.published_version is not None:
        published = await workflows.load_version(db, view.id, view.published_version)
    draft, _ = await asyncio.to_thread(parse, view.draft)
    filled = fields if fields is not None else FormData()
    return page(
        request,
        "workflow.html",
        status_of(refused) if refused else 200,
        workflow=view,
        published=published,
        steps=await _steps(db, actor, published),
        draft=draft,
        draft_steps=await _steps(db, actor, draft),
        may_manage=may(actor, "workflows.manage") is None,
        hosts=await _hosts(db, actor),
        ticked=filled.getlist("host"),
        filled={name: text(filled, name) for name in filled},
        wrong=_wrong(refused),
        refused=refused,
    )


async def _steps(db: Database, actor: Actor, workflow: Workflow | None) -> list[StepWords]:
    """What each step does, in words."""
    if workflow is None:
        return []
    steps = [step for step in all_steps(workflow.steps) if isinstance(step, ScriptStep)]
    ids = {step.script for step in steps if isinstance(step.script, int)}
    return in_words(workflow, await scripts.names(db, actor, ids))


async def _hosts(db: Database, actor: Actor) -> list[HostView]:
    """The hosts to choose from, for those who may see them."""
    if may(actor, "hosts.view") is not None:
        return []
    return (await hosts.listing(db, actor, limit=HOSTS_SHOWN)).items


def _wrong(refused: OpsgateError | None) -> dict[str, str]:
    """What is wrong with each input, by its name."""
    problems = refused.problems if isinstance(refused, Invalid) else ()
    return {
        problem.pointer.removeprefix("/inputs/"): problem.message
        for problem in problems
        if problem.pointer.startswith("/inputs/")
    }
