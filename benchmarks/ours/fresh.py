"""Further databases in the cluster of a running installation, for what must not disturb it."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from benchmarks.ours.installation import Installation
from store.connection import Database
from store.migrate import migrate


def url(here: Installation, database: str) -> str:
    """The libpq URL of a database, as the cluster's superuser."""
    return here.stack.environment["OPSGATE_DATABASE_URL"].replace(
        "opsgate@/opsgate?", f"postgres@/{database}?"
    )


@asynccontextmanager
async def database(here: Installation, name: str) -> AsyncIterator[str]:
    """The URL of an empty database, dropped after the block."""
    cluster = await asyncpg.connect(url(here, "postgres"))
    try:
        await cluster.execute(f"CREATE DATABASE {name}")
        try:
            yield url(here, name)
        finally:
            await cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await cluster.close()


@asynccontextmanager
async def store(here: Installation, name: str) -> AsyncIterator[Database]:
    """A pool on an empty database with Opsgate's schema."""
    async with database(here, name) as address, contextlib.AsyncExitStack() as opened:
        await migrate(address)
        db = await Database.connect(address, name="opsgate-bench")
        opened.push_async_callback(db.close)
        yield db
