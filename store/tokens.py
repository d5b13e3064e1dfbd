"""API tokens of people: shown once, may do what the person may."""

from dataclasses import replace
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from definitions.errors import Invalid, NotAuthenticated, NotFound
from definitions.permissions import Actor, require
from store import audit, shown_once, users
from store.connection import Database
from store.pages import Page, before, bounded, cut


class TokenView(BaseModel):
    """A token, without the token."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    user_id: int
    user: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class NewToken(BaseModel):
    """A token just made: the only time it is shown."""

    model_config = ConfigDict(frozen=True)

    id: int
    token: str
    expires_at: datetime | None
    """Never later than the token it was made with."""


async def create(
    db: Database, actor: Actor, name: str, user: int | str, expires_at: datetime | None = None
) -> NewToken:
    """Make a token for oneself, or with `users.manage` for somebody else, by id or name.

    One that is made with a token ends with that at the latest: who got hold of a token for an hour would
    have one for ever.
    """
    if actor.person is None or user not in (actor.id, actor.name):
        require(actor, "users.manage")
    if not name.strip() or len(name) > 200:
        raise Invalid("A token needs a name of at most 200 characters, to know it by.")
    token = shown_once.fresh("ogt_")
    expires_at = min(filter(None, (expires_at, actor.until)), default=None)
    async with db.transaction() as tx:
        user_id = await users.find(tx, user)
        owner = await users.actor_of(tx, user_id)
        token_id: int = await tx.fetchval(
            """INSERT INTO tokens (name, token_sha256, user_id, expires_at) VALUES ($1, $2, $3, $4)
               RETURNING id""",
            name.strip(),
            shown_once.digest(token),
            user_id,
            expires_at,
        )
        await audit.record(tx, actor, "token.create", "token", token_id, name=name.strip(), user=owner.name)
    return NewToken(id=token_id, token=token, expires_at=expires_at)


async def actor(db: Database, token: str) -> Actor:
    """Whose token this is, with what they may do now."""
    row = await db.fetchrow(
        f"""SELECT {users.ACTOR_COLUMNS}, t.id AS token_id, t.expires_at,
                   t.last_used_at IS NULL OR t.last_used_at < now() - interval '1 minute' AS stale
            FROM tokens t JOIN users u ON u.id = t.user_id
            WHERE t.token_sha256 = $1 AND t.revoked_at IS NULL AND u.disabled_at IS NULL
              AND (t.expires_at IS NULL OR t.expires_at > now())""",
        shown_once.digest(token),
    )
    if row is None:
        raise NotAuthenticated("The token is not known, has expired, or was revoked.")
    if row["stale"]:  # to the minute: not a write for every request
        await db.execute("UPDATE tokens SET last_used_at = now() WHERE id = $1", row["token_id"])
    return replace(users.actor_from(row), until=row["expires_at"])


async def revoke(db: Database, actor: Actor, token_id: int) -> None:
    """End a token for good. Somebody else's token is not found without `users.manage`."""
    async with db.transaction() as tx:
        row = await tx.fetchrow("SELECT user_id, name FROM tokens WHERE id = $1 FOR UPDATE", token_id)
        own = row is not None and row["user_id"] == actor.person
        if row is None or not (own or "users.manage" in actor.permissions):
            raise NotFound(f"There is no token {token_id}.")
        await tx.execute("UPDATE tokens SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1", token_id)
        await audit.record(tx, actor, "token.revoke", "token", token_id, name=row["name"])


async def listing(db: Database, actor: Actor, limit: int = 50, after: str | None = None) -> Page[TokenView]:
    """One's own tokens, newest first; everybody's with `users.manage`."""
    rows = await db.fetch(
        """SELECT t.id, t.name, t.user_id, u.name AS user, t.created_at, t.expires_at, t.last_used_at,
                  t.revoked_at
           FROM tokens t JOIN users u ON u.id = t.user_id
           WHERE t.id < $1 AND ($2 OR t.user_id = $3) ORDER BY t.id DESC LIMIT $4""",
        before(after),
        "users.manage" in actor.permissions,
        actor.person,
        bounded(limit) + 1,
    )
    return cut([TokenView(**row) for row in rows], limit, lambda token: token.id)
