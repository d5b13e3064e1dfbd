"""`/workflows`: what can be started."""

from fastapi import Request
from starlette.responses import Response

from agent_api.authentication import Db, Person
from approvals_ui.rendering import page
from approvals_ui.visitor import pages_router
from store import workflows

router = pages_router()


@router.get("/workflows", permission="workflows.view")
async def show(request: Request, db: Db, actor: Person, after: str | None = None) -> Response:
    """The list."""
    return page(request, "workflows.html", found=await workflows.listing(db, actor, after=after or None))
