"""Passwords: argon2 hashes, made and checked in a thread, and the throttle on guesses."""

import asyncio
from functools import cache

from pwdlib import PasswordHash

from definitions.errors import Invalid, RateLimited
from definitions.problems import Problem
from store.connection import Database

MIN_LENGTH = 10
MAX_LENGTH = 1024
MAX_FAILURES = 10
WINDOW = "15 minutes"

_hasher = PasswordHash.recommended()


@cache
def _decoy() -> str:
    """A hash nobody has the password of: an unknown name takes as long as a wrong password."""
    return _hasher.hash("nobody has this password")


async def hashed(password: str) -> str:
    """The hash to store."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise Invalid(
            f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters.",
            [
                Problem(
                    pointer="/password",
                    code="bad-password",
                    message=f"The password must have {MIN_LENGTH} to {MAX_LENGTH} characters.",
                    fix="Choose another one.",
                )
            ],
        )
    return await asyncio.to_thread(_hasher.hash, password)


async def matches(password: str, password_hash: str | None) -> bool:
    """Whether this is the password; as slow when there is none to compare with."""
    if len(password) > MAX_LENGTH:
        return False
    return await asyncio.to_thread(
        lambda: _hasher.verify(password, password_hash or _decoy()) and password_hash is not None
    )


async def note_try(db: Database, name: str) -> None:
    """Count a try before it is checked, so that guesses side by side count too."""
    async with db.transaction() as tx:
        await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('sign-in:' || $1, 0))", name)
        failures = await tx.fetchval(
            f"SELECT count(*) FROM sign_in_failures WHERE name = $1 AND at > now() - interval '{WINDOW}'",
            name,
        )
        if failures >= MAX_FAILURES:
            raise RateLimited(f"Too many failed tries to sign in as {name}; wait {WINDOW}.")
        await tx.execute("DELETE FROM sign_in_failures WHERE at < now() - interval '1 day'")
        await tx.execute("INSERT INTO sign_in_failures (name) VALUES ($1)", name)


async def forgive(db: Database, name: str) -> None:
    """The right password was given: forget the failures."""
    await db.execute("DELETE FROM sign_in_failures WHERE name = $1", name)
