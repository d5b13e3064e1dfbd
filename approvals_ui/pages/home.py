"""`/`: on to the inbox."""

from starlette.responses import RedirectResponse, Response

from approvals_ui.visitor import pages_router

router = pages_router()


@router.get("/", signed_in="leads to the inbox and shows nothing")
async def show() -> Response:
    """To the inbox."""
    return RedirectResponse("/inbox", 303)
