"""`/approvals/{id}`: everything needed to say yes or no, and the form that says it.

Looking never decides: the decision is a POST with the digest of what was seen.
"""

from typing import Any

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from agent_api.authentication import Db, Person
from agent_api.ids import Id
from agent_api.problem_responses import status_of
from approvals_ui import outlook
from approvals_ui.forms import form, text
from approvals_ui.frozen import host_names, host_notes
from approvals_ui.rendering import page
from approvals_ui.visitor import pages_router
from definitions.errors import Invalid, OpsgateError
from definitions.permissions import Actor
from store import approvals, instances, workflows
from store.approval_views import ApprovalView, Decision
from store.connection import Database

router = pages_router()
DECISIONS: dict[str, Decision] = {"approve": "approve", "reject": "reject"}


@router.get("/approvals/{request_id}", permission="workflows.view")
async def show(request: Request, db: Db, actor: Person, request_id: Id) -> Response:
    """The request and the form."""
    return await _page(request, db, actor, request_id)


@router.post("/approvals/{request_id}/vote", permission="workflows.view")
async def vote(request: Request, db: Db, actor: Person, request_id: Id) -> Response:
    """Vote; a refused vote comes back with its reason and what was typed.

    Whether this person may vote is the use-case's to say: refused by the guard, the comment
    would be lost.
    """
    fields = await form(request)
    comment = text(fields, "comment")
    try:
        decision = DECISIONS.get(text(fields, "decision"))
        if decision is None:
            raise Invalid("Choose Approve or Reject.")
        await approvals.vote(db, actor, request_id, decision, comment, text(fields, "digest"), via="page")
    except OpsgateError as refused:
        return await _page(request, db, actor, request_id, comment, refused)
    return RedirectResponse(f"/approvals/{request_id}", 303)


async def _page(
    request: Request,
    db: Database,
    actor: Actor,
    request_id: int,
    comment: str = "",
    refused: OpsgateError | None = None,
) -> Response:
    view = await approvals.show(db, actor, request_id)
    return page(
        request,
        "approval.html",
        status_of(refused) if refused else 200,
        approval=view,
        own=next((vote for vote in view.votes if vote.user_id == actor.id), None),
        hosts=host_names(view),
        host_notes=host_notes(view),
        version=_version(view),
        checkout=view.frozen.get("checkout"),
        fixed={name: value for name, value in view.frozen.items() if name != "ahead"},
        comment=comment,
        refused=refused,
        **await _around(db, actor, view),
    )


def _version(view: ApprovalView) -> object:
    """The frozen version of the workflow."""
    workflow = view.frozen.get("workflow")
    return workflow.get("version") if isinstance(workflow, dict) else None


async def _around(db: Database, actor: Actor, view: ApprovalView) -> dict[str, Any]:
    """What the instance has done so far, and where either decision leads."""
    frozen = view.frozen.get("inputs")
    inputs = frozen if isinstance(frozen, dict) else {}
    if view.instance_id is None or view.step_id is None:
        given = view.frozen.get("parameters")
        inputs = given if isinstance(given, dict) else {}
        return {"inputs": inputs, "before": [], "outlook": outlook.of_script(view.identity or "")}
    instance = await instances.show(db, actor, view.instance_id)
    workflow = await workflows.load_version(db, instance.workflow_id, instance.workflow_version)
    gates = [position for position, step in enumerate(instance.steps) if step.approval_id == view.id]
    ways = outlook.of_gate(workflow, view.step_id)
    if "goes_on" in view.frozen:
        ways = outlook.of_resumed(view.identity or "")
    return {
        "inputs": outlook.in_order(workflow, inputs),
        "before": instance.steps[: gates[0]] if gates else [],
        "outlook": ways,
    }
