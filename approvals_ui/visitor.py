"""Who looks at a page: the session of the cookie, and for a form its CSRF token.

The pages' own way of recognising a person for `GuardedRouter`. Decides nothing about permissions.
"""

from starlette.requests import Request

from agent_api import authentication
from agent_api.guarded import GuardedRouter
from approvals_ui.forms import form, text
from approvals_ui.security_headers import from_elsewhere
from definitions.errors import NotAuthenticated, NotPermitted
from definitions.permissions import Actor
from store.sessions import SessionActor


async def person(request: Request) -> Actor:
    """The person whose session it is; a form must come from our own page and carry its token."""
    found = await authentication.session(request)
    if found is None:
        raise NotAuthenticated("Sign in to see this page.")
    if request.method not in authentication.SAFE_METHODS:
        refuse_foreign(request)
        authentication.check_csrf(found, text(await form(request), "csrf_token"))
    return found.actor


def refuse_foreign(request: Request) -> None:
    """Refuse a form that another site made the browser send."""
    if from_elsewhere(request.headers):
        raise NotPermitted("The form was sent by another site.")


def session_of(request: Request) -> SessionActor | None:
    """The visitor's session, if the guard found one."""
    found: SessionActor | None = getattr(request.state, "session", None)
    return found


def pages_router() -> GuardedRouter:
    """A router for pages: every route declares its guard, people are recognised by their session."""
    return GuardedRouter(person=person, include_in_schema=False, default_response_class=None)
