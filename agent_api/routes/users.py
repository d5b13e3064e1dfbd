"""`/api/v1/users` and `/api/v1/roles`."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from agent_api.authentication import Db, Person
from agent_api.guarded import GuardedRouter
from agent_api.ids import Paging
from store import roles, users
from store.pages import Page
from store.roles import RoleView
from store.users import UserView

router = GuardedRouter(prefix="/api/v1", tags=["people"])

Email = Annotated[str, Field(max_length=254, pattern=r"^([^@\s]+@[^@\s]+)?$")]
RoleNames = Annotated[list[str], Field(max_length=100)]


class NewUser(BaseModel):
    """A person to add."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=253)]
    email: Email | None = None
    password: SecretStr | None = None
    roles: RoleNames = []


class UserChange(BaseModel):
    """What to change; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    email: Email | None = None
    roles: RoleNames | None = None
    disabled: bool | None = None
    password: SecretStr | None = None


class RoleChange(BaseModel):
    """A role to create or change."""

    model_config = ConfigDict(extra="forbid")

    permissions: Annotated[list[str], Field(max_length=100)]


def _revealed(password: SecretStr | None) -> str | None:
    return None if password is None else password.get_secret_value()


@router.post("/users", permission="users.manage", creates=True, status_code=201)
async def create(db: Db, actor: Person, body: NewUser) -> UserView:
    """Add a person."""
    return await users.create(db, actor, body.name, body.email, _revealed(body.password), body.roles)


@router.get("/users", permission="users.manage")
async def listing(db: Db, actor: Person, window: Paging) -> Page[UserView]:
    """People, newest first."""
    return await users.listing(db, actor, **vars(window))


@router.get("/users/{user}", permission="users.manage")
async def show(db: Db, actor: Person, user: str) -> UserView:
    """One person, by id or name."""
    return await users.show(db, actor, await users.find(db, user))


@router.patch("/users/{user}", permission="users.manage")
async def change(db: Db, actor: Person, user: str, body: UserChange) -> UserView:
    """Change e-mail address, roles, password; disable or enable.

    A new password ends the person's sessions; given by somebody else it revokes their tokens too. `tokens`
    says how many are good still.
    """
    return await users.change(
        db,
        actor,
        await users.find(db, user),
        email=body.email,
        role_names=body.roles,
        disabled=body.disabled,
        password=_revealed(body.password),
    )


@router.get("/roles", signed_in="approvers are named by role, so everybody may know the names")
async def list_roles(db: Db, actor: Person) -> Page[RoleView]:
    """Every role."""
    return Page[RoleView](items=await roles.listing(db, actor))


@router.put("/roles/{name}", permission="users.manage")
async def save_role(db: Db, actor: Person, name: str, body: RoleChange) -> RoleView:
    """Create a role or change what it grants."""
    return await roles.save(db, actor, name, body.permissions)
