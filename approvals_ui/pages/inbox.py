"""`/inbox`: approval requests: what waits for the visitor, what they started, all, decided ones too."""

from typing import Any

from fastapi import Request
from starlette.responses import Response

from agent_api.authentication import Db, Person
from approvals_ui.rendering import page
from approvals_ui.visitor import pages_router
from definitions.lifecycles.approval import ApprovalStatus
from store import approvals

router = pages_router()
VIEWS = {"mine": "Waiting for you", "started": "Started by you", "all": "All"}
RECENT = 10


@router.get("/inbox", permission="workflows.view")
async def show(
    request: Request,
    db: Db,
    actor: Person,
    view: str = "mine",
    status: str = "",
    after: str | None = None,
) -> Response:
    """One view of the inbox; of the requests that others decide, and of the decided ones, the first shows
    the newest."""
    status = status if status in list(ApprovalStatus) else ""
    known: dict[str, Any] = {
        "here": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        "views": VIEWS,
        "statuses": [str(each) for each in ApprovalStatus],
        "status": status,
    }
    if view not in ("started", "all"):
        mine = await approvals.listing(db, actor, status="pending", mine=True, after=after)
        others = await approvals.listing(db, actor, status="pending", mine=False)
        decided = await approvals.listing(db, actor, decided=True, limit=RECENT)
        return page(request, "inbox.html", view="mine", found=mine, others=others, decided=decided, **known)
    started = view == "started"
    found = await approvals.listing(db, actor, status=status or None, started=started, after=after)
    return page(request, "inbox.html", view=view, found=found, **known)
