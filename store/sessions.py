"""Sessions of people in a browser: a random token in a cookie, its CSRF token, an end."""

import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

from definitions.errors import NotAuthenticated
from definitions.permissions import Actor
from store import audit, shown_once, users
from store.connection import Database

LIFETIME = timedelta(hours=12)


class NewSession(NamedTuple):
    """What the browser is given."""

    token: str
    csrf_token: str
    expires_at: datetime


class SessionActor(NamedTuple):
    """Who a session belongs to, and the token its forms must carry."""

    actor: Actor
    csrf_token: str
    session_id: int


async def open(db: Database, user_id: int) -> NewSession:
    """Begin a session for a person who has just proved who they are."""
    token, csrf_token = shown_once.fresh("ogw_"), secrets.token_urlsafe(32)
    async with db.transaction() as tx:
        person = await users.actor_of(tx, user_id)
        await tx.execute("DELETE FROM sessions WHERE expires_at < now()")
        expires_at: datetime = await tx.fetchval(
            """INSERT INTO sessions (token_sha256, csrf_token, user_id, expires_at)
               VALUES ($1, $2, $3, now() + $4) RETURNING expires_at""",
            shown_once.digest(token),
            csrf_token,
            user_id,
            LIFETIME,
        )
        await audit.record(tx, person, "session.open", "user", user_id)
    return NewSession(token, csrf_token, expires_at)


async def actor(db: Database, token: str) -> SessionActor:
    """Whose session this is, with what they may do now."""
    row = await db.fetchrow(
        f"""SELECT {users.ACTOR_COLUMNS}, s.id AS session_id, s.csrf_token
            FROM sessions s JOIN users u ON u.id = s.user_id
            WHERE s.token_sha256 = $1 AND s.expires_at > now() AND u.disabled_at IS NULL""",
        shown_once.digest(token),
    )
    if row is None:
        raise NotAuthenticated("The session has ended; sign in again.")
    return SessionActor(users.actor_from(row), row["csrf_token"], row["session_id"])


async def close(db: Database, token: str) -> None:
    """End a session; one that is over already is no error."""
    async with db.transaction() as tx:
        user_id = await tx.fetchval(
            "DELETE FROM sessions WHERE token_sha256 = $1 RETURNING user_id", shown_once.digest(token)
        )
        if user_id is not None:
            name = await tx.fetchval("SELECT name FROM users WHERE id = $1", user_id)
            await audit.record(tx, Actor("user", user_id, name), "session.close", "user", user_id)
