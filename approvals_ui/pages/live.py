"""The event streams that live pages listen to. They say that something changed, never what."""

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from agent_api.ids import Id
from approvals_ui import changes
from approvals_ui.visitor import pages_router

router = pages_router()


def _stream(request: Request, topic: str) -> Response:
    told = changes.stream(request.app.state.events, topic)
    return StreamingResponse(told, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


@router.get("/changes/approvals", permission="workflows.view")
async def approvals(request: Request) -> Response:
    """Changes of any approval request."""
    return _stream(request, "approval:*")


@router.get("/changes/approvals/{request_id}", permission="workflows.view")
async def approval(request: Request, request_id: Id) -> Response:
    """Changes of one approval request."""
    return _stream(request, f"approval:{request_id}")


@router.get("/changes/instances/{instance_id}", permission="workflows.view")
async def instance(request: Request, instance_id: Id) -> Response:
    """Changes of one instance."""
    return _stream(request, f"instance:{instance_id}")
