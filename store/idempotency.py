"""Idempotency keys: a creating request that is sent again creates nothing and gets the first answer.

A key belongs to a person, a route and a body. While the first request is under way, and after one
that was killed half-way, a repeat is refused rather than run twice. Keys are kept for a day.
"""

from typing import Any, NamedTuple

from definitions.errors import Conflict, Invalid
from store.connection import Database

MAX_KEY = 200


class Answered(NamedTuple):
    """The first answer."""

    status: int
    response: Any


async def begin(db: Database, user_id: int, key: str, route: str, body_sha256: bytes) -> Answered | None:
    """Take the key: None to go on, or the answer there was."""
    if not 1 <= len(key) <= MAX_KEY or not key.isprintable():
        raise Invalid(f"An Idempotency-Key has 1 to {MAX_KEY} printable characters.")
    async with db.transaction() as tx:
        await tx.execute("DELETE FROM idempotency_keys WHERE created_at < now() - interval '1 day'")
        if await tx.fetchval(
            """INSERT INTO idempotency_keys (user_id, key, route, body_sha256) VALUES ($1, $2, $3, $4)
               ON CONFLICT DO NOTHING RETURNING true""",
            user_id,
            key,
            route,
            body_sha256,
        ):
            return None
        row = await tx.fetchrow(
            "SELECT * FROM idempotency_keys WHERE user_id = $1 AND key = $2", user_id, key
        )
    if row is None:
        raise Conflict("The Idempotency-Key was in use a moment ago; try again.")
    if row["route"] != route or row["body_sha256"] != body_sha256:
        raise Invalid("This Idempotency-Key was used for another request.")
    if row["status"] is None:
        raise Conflict("A request with this Idempotency-Key is under way, or was cut off: look first.")
    if row["response"] is None:
        raise Conflict("A request with this Idempotency-Key has succeeded; its secret was shown once.")
    return Answered(row["status"], row["response"])


async def finish(db: Database, user_id: int, key: str, status: int, response: Any) -> None:
    """Keep the answer; None for one that must not be kept."""
    await db.execute(
        "UPDATE idempotency_keys SET status = $3, response = $4 WHERE user_id = $1 AND key = $2",
        user_id,
        key,
        status,
        response,
    )


async def forget(db: Database, user_id: int, key: str) -> None:
    """Nothing was created: the key may be used again."""
    await db.execute("DELETE FROM idempotency_keys WHERE user_id = $1 AND key = $2", user_id, key)
