"""`/api/v1/tokens`: API tokens, one's own; with `users.manage` everybody's."""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from agent_api.authentication import Db, Person
from agent_api.guarded import GuardedRouter
from agent_api.ids import Id, Paging
from store import tokens
from store.pages import Page
from store.tokens import NewToken, TokenView

router = GuardedRouter(prefix="/api/v1/tokens", tags=["people"])


class TokenRequest(BaseModel):
    """A token to make; for oneself unless `user` says for whom."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=200)]
    user: int | str | None = None
    expires_at: AwareDatetime | None = None


@router.post(
    "",
    signed_in="for oneself; another's takes users.manage",
    creates=True,
    secret=True,
    status_code=201,
    responses={404: {}},
)
async def create(db: Db, actor: Person, body: TokenRequest) -> NewToken:
    """Make a token. It is shown this once."""
    user = actor.name if body.user is None else body.user
    return await tokens.create(db, actor, body.name, user, body.expires_at)


@router.get("", signed_in="one's own; everybody's takes users.manage")
async def listing(db: Db, actor: Person, window: Paging) -> Page[TokenView]:
    """Tokens, newest first."""
    return await tokens.listing(db, actor, **vars(window))


@router.delete("/{token_id}", signed_in="one's own; another's takes users.manage", status_code=204)
async def revoke(db: Db, actor: Person, token_id: Id) -> None:
    """End a token for good."""
    await tokens.revoke(db, actor, token_id)
