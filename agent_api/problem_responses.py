"""Errors as RFC 9457 problems: the one place where a kind of error meets an HTTP status."""

from http import HTTPStatus
from typing import Any

import asyncpg
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from definitions.errors import (
    Conflict,
    Invalid,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    OpsgateError,
    RateLimited,
    StaleEdit,
    Unavailable,
)
from definitions.problems import Problem

STATUS: dict[type[OpsgateError], int] = {
    Invalid: 422,
    NotAuthenticated: 401,
    NotPermitted: 403,
    NotFound: 404,
    Conflict: 409,
    RateLimited: 429,
    Unavailable: 503,
}
"""Each kind of error and its status; a kind's subclasses share it."""

_FOR_PROGRAMS = ("/api/", "/agent/", "/healthz", "/readyz", "/metrics")
UNSTORABLE = (UnicodeEncodeError, asyncpg.DataError)
"""Text with NUL or lone surrogates, numbers beyond bigint: well-formed JSON all the same."""
_NO_DATABASE = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the connection was cut between two messages of one statement
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.TransactionRollbackError,
)
"""It is away, full or restarting, or gave up on a deadlock: the request may be sent again."""

_log = structlog.get_logger("opsgate.api")


def status_of(error: OpsgateError) -> int:
    """The HTTP status of an error."""
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)


def problem(status: int, title: str, detail: str, **more: Any) -> JSONResponse:
    """A problem document."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    headers = (
        {"WWW-Authenticate": "Bearer"} if status == 401 else {"Retry-After": "60"} if status == 429 else None
    )
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def of_error(error: OpsgateError) -> JSONResponse:
    """The problem document of one of our errors."""
    problems = error.problems if isinstance(error, Invalid) else ()
    more: dict[str, Any] = {"problems": [each.model_dump() for each in problems]} if problems else {}
    if isinstance(error, StaleEdit):
        more["diff"] = error.diff
    return problem(status_of(error), error.title, error.message, **more)


def _pointer(location: tuple[Any, ...]) -> str:
    parts = location[1:] if location and location[0] in ("body", "query", "path", "header") else location
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def of_validation(errors: list[Any]) -> JSONResponse:
    """The problem document of a malformed request. Never repeats the input: it may hold a secret."""
    problems = [
        Problem(
            pointer=_pointer(tuple(each.get("loc", ()))),
            code=str(each.get("type", "invalid")).replace("_", "-"),
            message=f"{each.get('msg', 'Not valid')}.",
            fix="Send what /api/openapi.json describes.",
        ).model_dump()
        for each in errors
    ]
    return problem(422, Invalid.title, "The request is not well formed.", problems=problems)


def install(app: FastAPI) -> None:
    """Answer every error of the application: with a problem document, or for people with a page.

    The page is `app.state.error_page(request, status, detail)`, if somebody set one; it answers
    what stands outside `/api`, `/agent` and the probes.
    """

    def answer(request: Request, problem_document: JSONResponse, detail: str) -> Response:
        page = getattr(request.app.state, "error_page", None)
        if page is None or request.url.path.startswith(_FOR_PROGRAMS):
            return problem_document
        shown: Response = page(request, problem_document.status_code, detail)
        return shown

    async def ours(request: Request, error: OpsgateError) -> Response:
        return answer(request, of_error(error), error.message)

    async def malformed(request: Request, error: RequestValidationError) -> Response:
        return answer(request, of_validation(list(error.errors())), "The request is not well formed.")

    async def http(request: Request, error: HTTPException) -> Response:
        response = problem(error.status_code, HTTPStatus(error.status_code).phrase, str(error.detail))
        response.headers.update(error.headers or {})
        return answer(request, response, str(error.detail))

    async def unstorable(request: Request, error: Exception) -> Response:
        said = Invalid("The request holds a character or a number that can't be stored.")
        return answer(request, of_error(said), said.message)

    async def no_database(request: Request, error: Exception) -> Response:
        if isinstance(error, ValueError):  # the driver's own word for an argument it can't send
            return await unstorable(request, error)
        _log.warning("the database does not answer", path=request.url.path, error=repr(error))
        said = Unavailable("The database does not answer; try again.")
        return answer(request, of_error(said), said.message)

    async def unexpected(request: Request, error: Exception) -> Response:
        _log.error("unexpected error", path=request.url.path, method=request.method, exc_info=error)
        said = "An unexpected error; the server's log says more."
        return answer(request, problem(500, OpsgateError.title, said), said)

    handlers: list[tuple[Any, Any]] = [
        (OpsgateError, ours),
        (RequestValidationError, malformed),
        (HTTPException, http),
        *((kind, unstorable) for kind in UNSTORABLE),
        *((kind, no_database) for kind in _NO_DATABASE),
        (Exception, unexpected),
    ]
    for kind, handler in handlers:
        app.add_exception_handler(kind, handler)
