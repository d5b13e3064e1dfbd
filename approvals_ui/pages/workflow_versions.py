"""`/workflows/{id}/versions`: who published what when, what changed, and the way back."""

from typing import Annotated

from fastapi import Query, Request
from starlette.responses import RedirectResponse, Response

from agent_api.authentication import Db, Person
from agent_api.ids import After, Id
from agent_api.problem_responses import status_of
from approvals_ui.forms import form, text
from approvals_ui.rendering import page
from approvals_ui.visitor import pages_router
from definitions.errors import NotFound, OpsgateError
from definitions.permissions import Actor, may
from store import workflow_versions, workflows
from store.connection import Database

router = pages_router()
Number = Annotated[int | None, Query(ge=1, le=2**31 - 1)]


@router.get("/workflows/{workflow_id}/versions", permission="workflows.view")
async def show(
    request: Request,
    db: Db,
    actor: Person,
    workflow_id: Id,
    old: Number = None,
    new: Number = None,
    after: After = None,
) -> Response:
    """The versions, and the difference of two: the newest two unless others are asked for."""
    return await _page(request, db, actor, workflow_id, (old, new), after=after)


@router.post("/workflows/{workflow_id}/rollback", permission="workflows.manage")
async def rollback(request: Request, db: Db, actor: Person, workflow_id: Id) -> Response:
    """Publish an older version again."""
    version = text(await form(request), "version")
    try:
        if not (version.isascii() and version.isdigit() and len(version) < 10):
            raise NotFound("There is no such version.")
        await workflows.rollback(db, actor, workflow_id, int(version))
    except OpsgateError as refused:
        return await _page(request, db, actor, workflow_id, (None, None), refused)
    return RedirectResponse(f"/workflows/{workflow_id}/versions", 303)


async def _page(
    request: Request,
    db: Database,
    actor: Actor,
    workflow_id: int,
    asked: tuple[int | None, int | None],
    refused: OpsgateError | None = None,
    after: str | None = None,
) -> Response:
    view = await workflows.show(db, actor, workflow_id)
    versions = await workflow_versions.versions(db, actor, workflow_id, after=after)
    newest = view.published_version or 1
    new = asked[1] or newest
    old = asked[0] or max(1, new - 1)
    published = view.published_version is not None
    diff = await workflow_versions.diff(db, actor, workflow_id, old, new) if published else None
    return page(
        request,
        "workflow_versions.html",
        status_of(refused) if refused else 200,
        workflow=view,
        versions=versions,
        diff=diff,
        may_manage=may(actor, "workflows.manage") is None and not view.archived,
        refused=refused,
    )
