"""Errors as pages: the same kinds and statuses as the API, in words, with a way on."""

from http import HTTPStatus
from urllib.parse import quote

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from agent_api.authentication import SAFE_METHODS
from agent_api.problem_responses import UNSTORABLE, status_of
from approvals_ui.forms import page_before
from approvals_ui.prefect import places
from approvals_ui.rendering import page
from approvals_ui.security_headers import HEADERS
from definitions.errors import Invalid, NotAuthenticated, OpsgateError

_log = structlog.get_logger("opsgate.pages")


def error_page(
    request: Request, status: int, title: str, message: str, error: Exception | None = None
) -> Response:
    """A page that says what went wrong; the scripts of Prefect's dashboards get it in Prefect's own shape."""
    if of_dashboards(request):
        return JSONResponse({"detail": message}, status)
    problems = error.problems if isinstance(error, Invalid) else ()
    return page(request, "error.html", status, status=status, title=title, message=message, problems=problems)


def of_dashboards(request: Request) -> bool:
    """Whether a script of Prefect's asks, and not a person."""
    return request.url.path.startswith(f"{places.API}/")


def to_sign_in(request: Request) -> Response:
    """To the sign-in page, and back here afterwards."""
    if request.headers.get("hx-request"):
        # htmx would put the sign-in page into a part of this one: have it load the whole page anew.
        return Response(status_code=401, headers={"HX-Refresh": "true"})
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    back = here if request.method in SAFE_METHODS else page_before(request)
    return RedirectResponse(f"/sign-in?next={quote(back, safe='')}", 303)


def install(app: FastAPI) -> None:
    """Answer every error of the pages with a page."""

    @app.exception_handler(OpsgateError)
    async def ours(request: Request, error: OpsgateError) -> Response:
        if isinstance(error, NotAuthenticated) and not of_dashboards(request):
            return to_sign_in(request)
        return error_page(request, status_of(error), error.title, error.message, error)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        return error_page(request, 404, "Not found", "There is no such page.")

    async def unstorable(request: Request, error: Exception) -> Response:
        sentence = "The form holds a character or a number that can't be stored."
        return error_page(request, 422, Invalid.title, sentence)

    for kind in UNSTORABLE:
        app.add_exception_handler(kind, unstorable)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        phrase = HTTPStatus(error.status_code).phrase.capitalize()
        sentence = "There is no such page." if error.status_code == 404 else f"{phrase}."
        response = error_page(request, error.status_code, phrase, sentence)
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        _log.error("unexpected error", path=request.url.path, method=request.method, exc_info=error)
        sentence = "An unexpected error; the server's log says more."
        response = error_page(request, 500, OpsgateError.title, sentence)
        response.headers.update(HEADERS)  # this answer is made outside of the middleware
        return response
