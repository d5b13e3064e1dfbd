"""`/api/v1/me`: who one is, and what one may do."""

from pydantic import BaseModel

from agent_api.authentication import Db, Person
from agent_api.guarded import GuardedRouter
from store import users

router = GuardedRouter(prefix="/api/v1/me", tags=["people"])


class Me(BaseModel):
    """The person asking."""

    id: int
    name: str
    email: str | None
    roles: list[str]
    permissions: list[str]


@router.get("", signed_in="shows a person only themselves")
async def me(db: Db, actor: Person) -> Me:
    """The person asking."""
    view = await users.show(db, actor, actor.id or 0)
    return Me(
        id=view.id,
        name=view.name,
        email=view.email,
        roles=view.roles,
        permissions=sorted(actor.permissions),
    )
