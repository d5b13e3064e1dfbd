"""`/api/v1/sessions`: sign in with a password, sign out."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from starlette.requests import Request
from starlette.responses import Response

from agent_api import authentication
from agent_api.authentication import Db, Person
from agent_api.guarded import GuardedRouter
from store import sessions, users
from store.users import UserView

router = GuardedRouter(prefix="/api/v1/sessions", tags=["people"])


class SignIn(BaseModel):
    """Name and password."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=253)]
    password: SecretStr


class Session(BaseModel):
    """The session itself is in the cookie."""

    csrf_token: str
    expires_at: datetime
    user: UserView


@router.post(
    "",
    public="the password in the body is the credential",
    status_code=201,
    responses={401: {}, 403: {}, 429: {}},
)
async def sign_in(db: Db, request: Request, response: Response, body: SignIn) -> Session:
    """Begin a session; send `csrf_token` as `X-CSRF-Token` with every change."""
    authentication.check_same_site(request)
    address = authentication.address_of(request)
    user = await users.authenticate(db, body.name, body.password.get_secret_value(), address)
    new = await sessions.open(db, user.id)
    authentication.set_session_cookie(response, new, secure=request.app.state.settings.secure_cookies)
    return Session(csrf_token=new.csrf_token, expires_at=new.expires_at, user=user)


@router.delete("", signed_in="ends one's own session", status_code=204)
async def sign_out(db: Db, actor: Person, request: Request, response: Response) -> None:
    """End the session of the cookie."""
    await sessions.close(db, request.cookies.get(authentication.COOKIE, ""))
    authentication.clear_session_cookie(response, secure=request.app.state.settings.secure_cookies)
