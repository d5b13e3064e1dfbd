"""`/instances`: every run of a workflow, the newest first."""

from fastapi import Request
from starlette.responses import Response

from agent_api.authentication import Db, Person
from approvals_ui.rendering import page
from approvals_ui.visitor import pages_router
from definitions.lifecycles.instance import InstanceStatus
from store import instances

router = pages_router()
STATUSES = tuple(status.value for status in InstanceStatus)


@router.get("/instances", permission="workflows.view")
async def show(
    request: Request, db: Db, actor: Person, status: str = "", after: str | None = None
) -> Response:
    """The list, of one status if asked for."""
    wanted = (status,) if status in STATUSES else ()
    found = await instances.listing(db, actor, status=wanted, after=after or None)
    return page(request, "instances.html", found=found, statuses=STATUSES, status=wanted[0] if wanted else "")
