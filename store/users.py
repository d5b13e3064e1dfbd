"""People: who they are, their roles, their password.

A name is unique in one normalised spelling. What a person may do is the union of their roles,
read afresh for every request.
"""

from datetime import datetime

import asyncpg
from pydantic import BaseModel, ConfigDict

from definitions.errors import Conflict, NotAuthenticated, NotFound
from definitions.permissions import PERMISSIONS, SYSTEM, Actor, require
from store import audit, passwords, roles
from store.connection import Database, Row, Tx
from store.names import checked, normalise
from store.pages import Page, before, bounded, cut

ACTOR_COLUMNS = """u.id, u.name, coalesce((
    SELECT array_agg(DISTINCT granted)
    FROM user_roles JOIN roles r ON r.id = role_id, unnest(r.permissions) granted
    WHERE user_id = u.id), '{}') AS permissions"""
"""Columns from which `actor_from` makes an actor; `u` is the users row."""

_VIEW = """SELECT u.id, u.name, u.email, u.disabled_at, u.created_at, (
    SELECT count(*) FROM tokens t WHERE t.user_id = u.id AND t.revoked_at IS NULL
      AND (t.expires_at IS NULL OR t.expires_at > now())) AS tokens, coalesce((
    SELECT array_agg(r.name ORDER BY r.name) FROM user_roles JOIN roles r ON r.id = role_id
    WHERE user_id = u.id), '{}') AS roles FROM users u"""


class UserView(BaseModel):
    """A person as others with `users.manage`, and the person, see them."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    email: str | None
    roles: list[str]
    disabled_at: datetime | None
    created_at: datetime
    tokens: int
    """How many tokens of theirs are good now: a password of their own choice leaves them be."""


def actor_from(row: Row) -> Actor:
    """The actor of a row with ACTOR_COLUMNS."""
    return Actor("user", row["id"], row["name"], frozenset(row["permissions"]) & frozenset(PERMISSIONS))


async def bootstrap(db: Database) -> None:
    """Create the built-in roles. Repeatable; called after migrating."""
    await roles.bootstrap(db)


async def create(
    db: Database, actor: Actor, name: str, email: str | None, password: str | None, role_names: list[str]
) -> UserView:
    """Add a person. Without a password they can only use tokens made for them."""
    require(actor, "users.manage")
    name = checked(name, "person")
    password_hash = await passwords.hashed(password) if password is not None else None
    async with db.transaction() as tx:
        role_ids = await roles.ids_of(tx, role_names)
        try:
            user_id: int = await tx.fetchval(
                "INSERT INTO users (name, email, password_hash) VALUES ($1, $2, $3) RETURNING id",
                name,
                email or None,
                password_hash,
            )
        except asyncpg.UniqueViolationError as error:
            raise _taken(error) from None
        await _set_roles(tx, user_id, role_ids)
        await audit.record(tx, actor, "user.create", "user", user_id, name=name, roles=sorted(role_names))
        return await _load(tx, user_id)


async def change(
    db: Database,
    actor: Actor,
    user_id: int,
    *,
    email: str | None = None,
    role_names: list[str] | None = None,
    disabled: bool | None = None,
    password: str | None = None,
) -> UserView:
    """Change what is given. A new password or disabling ends the person's sessions; a password that somebody
    else gives them, who may do so because it was lost or stolen, their tokens too."""
    require(actor, "users.manage")
    password_hash = await passwords.hashed(password) if password is not None else None
    async with db.transaction() as tx:
        # One change at a time, or two could each take away the other's last administrator.
        await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('users.change', 0))")
        await _load(tx, user_id)
        if email is not None:
            try:
                await tx.execute("UPDATE users SET email = $2 WHERE id = $1", user_id, email or None)
            except asyncpg.UniqueViolationError as error:
                raise _taken(error) from None
        if role_names is not None:
            await _set_roles(tx, user_id, await roles.ids_of(tx, role_names))
        if disabled is not None:
            await tx.execute(
                """UPDATE users SET disabled_at = CASE WHEN $2 THEN coalesce(disabled_at, now()) END
                   WHERE id = $1""",
                user_id,
                disabled,
            )
        if password_hash is not None:
            await tx.execute("UPDATE users SET password_hash = $2 WHERE id = $1", user_id, password_hash)
        if disabled or password_hash is not None:
            await tx.execute("DELETE FROM sessions WHERE user_id = $1", user_id)
        if password_hash is not None and actor.person != user_id:
            await tx.execute(
                "UPDATE tokens SET revoked_at = now() WHERE user_id = $1 AND revoked_at IS NULL", user_id
            )
        await _keep_an_administrator(tx)
        changed = {
            "email": email,
            "roles": role_names,
            "disabled": disabled,
            "password": password is not None or None,
        }
        await audit.record(
            tx, actor, "user.change", "user", user_id, **{k: v for k, v in changed.items() if v is not None}
        )
        return await _load(tx, user_id)


async def authenticate(db: Database, name: str, password: str, address: str = "") -> UserView:
    """The person with this name and password; every try counts against the throttle, by the address it
    comes from."""
    name = normalise(name)[:255]
    await passwords.note_try(db, name, address)
    row = await db.fetchrow("SELECT id, password_hash, disabled_at FROM users WHERE name = $1", name)
    if not await passwords.matches(password, row["password_hash"] if row else None) or row is None:
        raise NotAuthenticated("The name or the password is wrong.")
    if row["disabled_at"] is not None:
        raise NotAuthenticated("This account is disabled.")
    await passwords.forgive(db, name, address)
    return await show(db, SYSTEM, row["id"])


async def actor_of(db: Database | Tx, user_id: int) -> Actor:
    """The person as an actor, with what they may do now."""
    row = await db.fetchrow(
        f"SELECT {ACTOR_COLUMNS} FROM users u WHERE u.id = $1 AND u.disabled_at IS NULL", user_id
    )
    if row is None:
        raise NotFound("There is no such person, or the account is disabled.")
    return actor_from(row)


async def show(db: Database, actor: Actor, user_id: int) -> UserView:
    """One person; oneself without a permission."""
    if actor.person != user_id:
        require(actor, "users.manage")
    async with db.connection() as connection:
        return await _load(connection, user_id)


async def find(db: Database | Tx, reference: str | int) -> int:
    """The id of a person by id or name, or `NotFound`. A primitive: permission is the caller's."""
    found: int | None = await db.fetchval(
        "SELECT id FROM users WHERE id::text = $1 OR name = $2", str(reference), normalise(str(reference))
    )
    if found is None:
        raise NotFound(f"There is no person {str(reference)[:80]}.")
    return found


async def listing(db: Database, actor: Actor, limit: int = 50, after: str | None = None) -> Page[UserView]:
    """People, newest first."""
    require(actor, "users.manage")
    rows = await db.fetch(
        f"{_VIEW} WHERE u.id < $1 ORDER BY u.id DESC LIMIT $2", before(after), bounded(limit) + 1
    )
    return cut([UserView(**row) for row in rows], limit, lambda user: user.id)


async def _load(tx: Tx, user_id: int) -> UserView:
    row = await tx.fetchrow(f"{_VIEW} WHERE u.id = $1", user_id)
    if row is None:
        raise NotFound(f"There is no person {user_id}.")
    return UserView(**row)


def _taken(error: asyncpg.UniqueViolationError) -> Conflict:
    taken = "name" if error.constraint_name == "users_name_key" else "e-mail address"
    return Conflict(f"There is already a person with this {taken}.")


async def _set_roles(tx: Tx, user_id: int, role_ids: list[int]) -> None:
    await tx.execute("DELETE FROM user_roles WHERE user_id = $1", user_id)
    await tx.execute("INSERT INTO user_roles SELECT $1, unnest($2::bigint[])", user_id, role_ids)


async def _keep_an_administrator(tx: Tx) -> None:
    left = await tx.fetchval(
        """SELECT EXISTS (
               SELECT 1 FROM users u JOIN user_roles ON user_id = u.id JOIN roles r ON r.id = role_id
               WHERE u.disabled_at IS NULL AND 'users.manage' = ANY(r.permissions))"""
    )
    if not left:
        raise Conflict("Nobody would be left who may manage people.")
