"""`/inbox`: what waits for a decision, the visitor's own first, and what was decided lately."""

from fastapi import Request
from starlette.responses import Response

from agent_api.authentication import Db, Person
from approvals_ui.rendering import page
from approvals_ui.visitor import pages_router
from definitions.permissions import Actor
from store import approvals
from store.approval_views import ApprovalRow
from store.connection import Database

router = pages_router()
DECIDED = ("approved", "rejected", "expired", "withdrawn")
RECENT = 10


@router.get("/inbox", permission="workflows.view")
async def show(request: Request, db: Db, actor: Person, after: str | None = None) -> Response:
    """The inbox."""
    mine = await approvals.listing(db, actor, status="pending", mine=True, after=after)
    pending = await approvals.listing(db, actor, status="pending")
    return page(
        request,
        "inbox.html",
        here=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        mine=mine,
        others=[row for row in pending.items if not row.may_decide],
        decided=await _recently_decided(db, actor),
    )


async def _recently_decided(db: Database, actor: Actor) -> list[ApprovalRow]:
    rows: list[ApprovalRow] = []
    for status in DECIDED:
        rows += (await approvals.listing(db, actor, status=status, limit=RECENT)).items
    return sorted(rows, key=lambda row: row.decided_at or row.created_at, reverse=True)[:RECENT]
