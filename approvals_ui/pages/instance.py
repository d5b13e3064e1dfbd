"""`/instances/{id}`: one run of a workflow with the state of every step, kept up to date."""

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from agent_api.authentication import Db, Person
from agent_api.ids import Id
from agent_api.problem_responses import status_of
from approvals_ui import outlook
from approvals_ui.forms import form, given_inputs, text
from approvals_ui.rendering import page
from approvals_ui.settings import PagesSettings
from approvals_ui.visitor import pages_router
from definitions import secret_values
from definitions.errors import OpsgateError
from definitions.lifecycles import instance as lifecycle
from definitions.lifecycles.moves import allows
from definitions.permissions import Actor, may
from store import instances, workflows
from store.connection import Database

router = pages_router()


@router.get("/instances/{instance_id}", permission="workflows.view")
async def show(request: Request, db: Db, actor: Person, instance_id: Id) -> Response:
    """The instance as it is now."""
    return await _page(request, db, actor, instance_id)


@router.post("/instances/{instance_id}/cancel", permission="workflows.manage")
async def cancel(request: Request, db: Db, actor: Person, instance_id: Id) -> Response:
    """Ask for the instance to end."""
    reason = text(await form(request), "reason")
    try:
        await instances.cancel(db, actor, instance_id, reason)
    except OpsgateError as refused:
        return await _page(request, db, actor, instance_id, refused)
    return RedirectResponse(f"/instances/{instance_id}", 303)


@router.post("/instances/{instance_id}/resume", permission="workflows.manage")
async def resume(request: Request, db: Db, actor: Person, instance_id: Id) -> Response:
    """Go on with an instance that failed or was cancelled."""
    try:
        await instances.resume(db, actor, instance_id, given_inputs(await form(request)))
    except OpsgateError as refused:
        return await _page(request, db, actor, instance_id, refused)
    return RedirectResponse(f"/instances/{instance_id}", 303)


@router.post("/instances/{instance_id}/rerun", permission="workflows.manage")
async def rerun(request: Request, db: Db, actor: Person, instance_id: Id) -> Response:
    """Start the same again, as a new instance."""
    fields = await form(request)
    same = bool(text(fields, "same_version"))
    try:
        again = await instances.rerun(db, actor, instance_id, given_inputs(fields), same_version=same)
    except OpsgateError as refused:
        return await _page(request, db, actor, instance_id, refused)
    return RedirectResponse(f"/instances/{again.id}", 303)


async def _page(
    request: Request, db: Database, actor: Actor, instance_id: int, refused: OpsgateError | None = None
) -> Response:
    view = await instances.show(db, actor, instance_id)
    workflow = await workflows.load_version(db, view.workflow_id, view.workflow_version)
    return page(
        request,
        "instance.html",
        status_of(refused) if refused else 200,
        instance=view,
        inputs=outlook.in_order(workflow, view.inputs),
        ended=view.ended_at is not None,
        not_reached=outlook.not_reached(workflow, {step.step_id for step in view.steps}),
        may_manage=may(actor, "workflows.manage") is None,
        resumable=view.ended_at is not None and allows(lifecycle.MOVES, view.status, "resume"),
        secrets=[name for name in secret_values.names(workflow.inputs) if view.inputs.get(name) is not None],
        prefect_run=_prefect_run(request, view.flow_run_id),
        refused=refused,
    )


def _prefect_run(request: Request, flow_run_id: str | None) -> str | None:
    """Where Prefect shows the run, if it has one and its pages are reachable."""
    settings: PagesSettings = request.app.state.settings
    if settings.prefect_ui_url is None or flow_run_id is None:
        return None
    # Of Prefect's two user interfaces the one that asks a stranger to sign in and then comes back here.
    return f"{settings.prefect_ui_url.rstrip('/')}/v2/runs/flow-run/{flow_run_id}"
