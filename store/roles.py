"""Roles: a name and the permissions it gives."""

from pydantic import BaseModel, ConfigDict

from definitions.errors import Conflict, Invalid, NotFound
from definitions.permissions import PERMISSIONS, ROLES, SYSTEM, Actor, require
from definitions.problems import Problem
from store import audit
from store.connection import Database, Tx
from store.names import checked


class RoleView(BaseModel):
    """A role as people see it."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    permissions: list[str]
    built_in: bool


async def bootstrap(db: Database) -> None:
    """Create the roles every installation has, and give them exactly what they grant. Repeatable."""
    async with db.transaction() as tx:
        for name, permissions in ROLES.items():
            role_id = await tx.fetchval(
                """INSERT INTO roles (name, permissions) VALUES ($1, $2)
                   ON CONFLICT (name) DO UPDATE SET permissions = excluded.permissions
                   WHERE roles.permissions IS DISTINCT FROM excluded.permissions RETURNING id""",
                name,
                sorted(permissions),
            )
            if role_id is not None:
                await audit.record(tx, SYSTEM, "role.save", "role", role_id, name=name)


async def listing(db: Database, actor: Actor) -> list[RoleView]:
    """Every role, by name. Anybody signed in may know the names: approvers are named by role."""
    rows = await db.fetch("SELECT id, name, permissions FROM roles ORDER BY name")
    return [_view(row["id"], row["name"], row["permissions"]) for row in rows]


async def save(db: Database, actor: Actor, name: str, permissions: list[str]) -> RoleView:
    """Create a role, or change what it grants. The built-in ones stay as they are."""
    require(actor, "users.manage")
    name = checked(name, "role")
    if name in ROLES:
        raise Conflict(f"The role {name} is built in; make one of your own.")
    unknown = sorted(set(permissions) - set(PERMISSIONS))
    if unknown:
        raise Invalid(
            f"There is no permission {unknown[0]}.",
            [
                Problem(pointer="/permissions", code="unknown-permission", message=f"{each} does not exist.",
                        fix="Choose from: " + ", ".join(PERMISSIONS))
                for each in unknown
            ],
        )  # fmt: skip
    async with db.transaction() as tx:
        role_id: int = await tx.fetchval(
            """INSERT INTO roles (name, permissions) VALUES ($1, $2)
               ON CONFLICT (name) DO UPDATE SET permissions = excluded.permissions RETURNING id""",
            name,
            sorted(set(permissions)),
        )
        await audit.record(
            tx, actor, "role.save", "role", role_id, name=name, permissions=sorted(set(permissions))
        )
    return _view(role_id, name, sorted(set(permissions)))


async def ids_of(tx: Tx, names: list[str]) -> list[int]:
    """The ids of roles by name; one that does not exist is `Invalid`."""
    rows = await tx.fetch("SELECT id, name FROM roles WHERE name = ANY($1)", names)
    missing = sorted(set(names) - {row["name"] for row in rows})
    if missing:
        raise Invalid(
            f"There is no role {missing[0]}.",
            [
                Problem(
                    pointer="/roles",
                    code="unknown-role",
                    message=f"There is no role {each}.",
                    fix="See the roles.",
                )
                for each in missing
            ],
        )
    return [row["id"] for row in rows]


async def require_existing(db: Database, name: str) -> int:
    """The id of a role by name, or `NotFound`."""
    found: int | None = await db.fetchval("SELECT id FROM roles WHERE name = $1", name)
    if found is None:
        raise NotFound(f"There is no role {name}.")
    return found


def _view(role_id: int, name: str, permissions: list[str]) -> RoleView:
    return RoleView(id=role_id, name=name, permissions=list(permissions), built_in=name in ROLES)
