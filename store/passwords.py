"""Passwords: argon2 hashes, made and checked in a thread, and the throttle on guesses.

The throttle counts by name and by address, so that who guesses at a name locks out nobody elsewhere; and by
address alone, for who guesses at many names.
"""

import asyncio
import ipaddress
from functools import cache
from typing import NamedTuple

from pwdlib import PasswordHash

from definitions.errors import Invalid, RateLimited
from definitions.problems import Problem
from store.connection import Database, Tx

MIN_LENGTH = 10
MAX_LENGTH = 1024
SHARES = ((100, 10), (1000, 1))
"""While fewer than so many tries for a name have failed within WINDOW, from wherever: how many one address
has. So guesses from many addresses soon have one each, and in the end none; and the person, from an
address of their own, has at least one until then."""
OF_ADDRESS = 100
"""So many failed tries one address has within WINDOW, at whatever names: each costs a hash."""
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


async def note_try(db: Database, name: str, address: str) -> None:
    """Count a try before it is checked, so that guesses side by side count too."""
    keys = _keys(name, address)
    async with db.transaction() as tx:
        for key in (keys.all, keys.address):  # in this order everywhere: nobody waits for another in a ring
            await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('sign-in:' || $1, 0))", key)
        total, own, at_all = [await _failures(tx, key) for key in keys]
        if own >= next((share for most, share in SHARES if total < most), 0):
            raise RateLimited(f"Too many failed tries to sign in as {name}; wait {WINDOW}.")
        if at_all >= OF_ADDRESS:
            raise RateLimited(f"Too many failed tries to sign in from this address; wait {WINDOW}.")
        await tx.execute("DELETE FROM sign_in_failures WHERE at < now() - interval '1 day'")
        await tx.execute("INSERT INTO sign_in_failures (name) SELECT unnest($1::text[])", list(keys))


async def forgive(db: Database, name: str, address: str) -> None:
    """The right password was given: forget what failed for it from this address, and nothing else."""
    keys = _keys(name, address)
    await db.execute(
        """WITH own AS (DELETE FROM sign_in_failures WHERE name = $1 RETURNING at)
           DELETE FROM sign_in_failures WHERE name = ANY ($2) AND at IN (SELECT at FROM own)""",
        keys.own,
        [keys.all, keys.address],
    )


async def _failures(tx: Tx, key: str) -> int:
    found: int = await tx.fetchval(
        f"SELECT count(*) FROM sign_in_failures WHERE name = $1 AND at > now() - interval '{WINDOW}'", key
    )
    return found


class _Keys(NamedTuple):
    """Each try is three rows of one transaction, and so of one moment: what everybody failed with for the
    name, this address for the name, and this address at all. No name, whatever somebody types, makes the key
    of another."""

    all: str
    own: str
    address: str


def _keys(name: str, address: str) -> _Keys:
    """An IPv6 network of 64 bits is one address: its owner has all of them. What is no address says nothing
    of who is there: all of that kind are not counted as one."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return _Keys(f"all {name}", f"from ? {name}", f"nowhere {name}")
    if isinstance(found, ipaddress.IPv6Address):
        found = found.ipv4_mapped or ipaddress.IPv6Address(int(found) >> 64 << 64)
    return _Keys(f"all {name}", f"from {found} {name}", f"address {found}")
