"""Signing in and out. Passwords, throttling and sessions are the store's; here is only the form."""

import secrets

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from agent_api import authentication
from agent_api.authentication import Db
from agent_api.problem_responses import status_of
from approvals_ui.forms import form, local_path, text
from approvals_ui.rendering import page
from approvals_ui.settings import PagesSettings
from approvals_ui.visitor import pages_router, refuse_foreign
from definitions.errors import NotAuthenticated, NotPermitted, OpsgateError, RateLimited
from store import sessions, users

router = pages_router()
FORM_COOKIE = "opsgate_sign_in"
"""Ties the form to the browser it was given to, before there is a session to do so."""


def _settings(request: Request) -> PagesSettings:
    settings: PagesSettings = request.app.state.settings
    return settings


def _form_page(
    request: Request, next_path: str, name: str = "", refused: OpsgateError | None = None
) -> Response:
    token = request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(24)
    status = status_of(refused) if refused else 200
    response = page(
        request, "sign_in.html", status, next=next_path, name=name, refused=refused, csrf_token=token
    )
    response.set_cookie(
        FORM_COOKIE,
        token,
        httponly=True,
        samesite="strict",
        secure=_settings(request).secure_cookies,
        path="/sign-in",
    )
    return response


@router.get("/sign-in", public="nobody is signed in yet")
async def show(request: Request) -> Response:
    """The form; whoever is signed in already goes on."""
    next_path = local_path(request.query_params.get("next", "/"))
    if await authentication.session(request) is not None:
        return RedirectResponse(next_path, 303)
    return _form_page(request, next_path)


@router.post("/sign-in", public="nobody is signed in yet")
async def sign_in(request: Request, db: Db) -> Response:
    """Open a session for the right name and password."""
    fields = await form(request)
    refuse_foreign(request)
    given, expected = text(fields, "csrf_token"), request.cookies.get(FORM_COOKIE, "")
    if not expected or not secrets.compare_digest(given.encode(), expected.encode()):
        raise NotPermitted(
            "The sign-in form was not opened in this browser. Open it again; cookies must be allowed."
        )
    name, next_path = text(fields, "name"), local_path(text(fields, "next"))
    try:
        address = authentication.address_of(request)
        user = await users.authenticate(db, name, text(fields, "password"), address)
    except (NotAuthenticated, RateLimited) as refused:
        return _form_page(request, next_path, name, refused)
    response = RedirectResponse(next_path, 303)
    authentication.set_session_cookie(
        response, await sessions.open(db, user.id), secure=_settings(request).secure_cookies
    )
    response.delete_cookie(FORM_COOKIE, path="/sign-in")
    return response


@router.post("/sign-out", signed_in="ends one's own session")
async def sign_out(request: Request, db: Db) -> Response:
    """End the session, here and in the store."""
    await sessions.close(db, request.cookies[authentication.COOKIE])
    response = RedirectResponse("/sign-in", 303)
    authentication.clear_session_cookie(response, secure=_settings(request).secure_cookies)
    response.headers["Clear-Site-Data"] = '"storage"'
    return response
