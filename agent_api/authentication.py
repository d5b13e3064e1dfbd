"""Who is asking: a bearer token, or the session cookie with its CSRF token.

Two audiences that never mix: tokens of people (`ogt_`) and sessions work on `/api/v1`, tokens of
agents (`oga_`) on `/agent/v1`. Says who somebody is, never what they may do.
"""

import secrets
from datetime import UTC, datetime
from typing import Annotated

import structlog
from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from agent_api.known_agents import KnownAgents
from definitions.errors import NotAuthenticated, NotPermitted, OpsgateError
from definitions.permissions import Actor
from store import sessions, tokens
from store.connection import Database
from store.sessions import NewSession, SessionActor

COOKIE = "opsgate_session"
CSRF_HEADER = "X-CSRF-Token"
_log = structlog.get_logger("opsgate.api")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


async def given_database(request: Request) -> Database:
    """`database` for a route. Async, or FastAPI would start a thread for it."""
    return database(request)


def database(request: Request) -> Database:
    """The application's database."""
    db: Database = request.app.state.db
    return db


async def actor(request: Request) -> Actor:
    """The actor the route's guard found."""
    found: Actor = request.state.actor
    return found


async def still_admitted(request: Request) -> Actor:
    """The person, found and let in anew by the route's guard: for an answer that goes on for long.

    Raises what the guard raises when the token, the session or the right was taken away meanwhile.
    """
    found: Actor = await request.state.admit(request)
    return found


Db = Annotated[Database, Depends(given_database)]
Person = Annotated[Actor, Depends(actor)]
Agent = Annotated[Actor, Depends(actor)]


def bearer(request: Request) -> str | None:
    """The bearer token, if one was sent."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


async def session(request: Request) -> SessionActor | None:
    """The session of the cookie, or None when there is no cookie or it is not good any more.

    Also kept as `request.state.session`. Does not check CSRF: for reads and for pages.
    """
    token = request.cookies.get(COOKIE)
    if not token:
        return None
    try:
        found = await sessions.actor(database(request), token)
    except NotAuthenticated:
        return None
    request.state.session = found
    return found


def address_of(request: Request) -> str:
    """Where the connection comes from. Forwarded headers are not read: whoever sends them chooses them.

    Only in place of a proxy that the operator trusts (`web_trusted_proxies`) the HTTP server has put the
    address which that proxy names.
    """
    return request.client.host if request.client else ""


def check_same_site(request: Request) -> None:
    """Refuse a request that another site made the browser send."""
    if request.headers.get("sec-fetch-site") == "cross-site":
        raise NotPermitted("The request came from another site.")


def check_csrf(found: SessionActor, given: str | None) -> None:
    """Refuse an unsafe request that does not carry the session's CSRF token."""
    if given is None or not secrets.compare_digest(given.encode(), found.csrf_token.encode()):
        raise NotPermitted("The request does not carry the session's CSRF token.")


async def person(request: Request) -> Actor:
    """The person asking, or `NotAuthenticated`."""
    token = bearer(request)
    if token is not None:
        return await tokens.actor(database(request), token)
    found = await session(request)
    if found is None:
        raise NotAuthenticated("Sign in, or send a token as `Authorization: Bearer ogt_...`.")
    check_same_site(request)
    if request.method not in SAFE_METHODS:
        check_csrf(found, request.headers.get(CSRF_HEADER))
    return found.actor


async def agent(request: Request) -> Actor:
    """The agent asking, or `NotAuthenticated`."""
    token = bearer(request)
    try:
        if token is None:
            raise NotAuthenticated("An agent sends its token as `Authorization: Bearer oga_...`.")
        known: KnownAgents = request.app.state.known_agents
        return await known.recognise(database(request), token)
    except (NotAuthenticated, NotPermitted) as error:
        log_refused_agent(request, error)
        raise


def log_refused_agent(request: Request, error: OpsgateError) -> None:
    """Note in the server's log why a host gets no work: the first place to look when jobs are not picked
    up. Never what the agent sent."""
    _log.warning(
        "an agent was refused", address=address_of(request), path=request.url.path, reason=error.message
    )


def set_session_cookie(response: Response, new: NewSession, *, secure: bool) -> None:
    """Hand the browser its session."""
    response.set_cookie(
        COOKIE,
        new.token,
        max_age=max(0, int((new.expires_at - datetime.now(UTC)).total_seconds())),
        httponly=True,
        samesite="lax",
        secure=secure,
        path="/",
    )


def clear_session_cookie(response: Response, *, secure: bool) -> None:
    """Take the browser's session away."""
    response.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=secure, path="/")
