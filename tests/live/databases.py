"""A running stack's databases: everything that stands in them, to be searched; and time made to pass."""

import asyncio

import asyncpg

from tests.live.stack import LiveStack


def rows(live: LiveStack, name: str) -> bytes:
    """Every row of `opsgate` or `prefect`, as text."""
    dsn = live.stack.environment["OPSGATE_DATABASE_URL"]
    return asyncio.run(_rows(dsn.replace("opsgate@/opsgate?", f"{name}@/{name}?")))


def execute(live: LiveStack, sql: str, *values: object) -> None:
    """Change what nobody can wait for, e.g. since when a job is due."""
    asyncio.run(_execute(live.stack.environment["OPSGATE_DATABASE_URL"], sql, *values))


async def _execute(dsn: str, sql: str, *values: object) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(sql, *values)
    finally:
        await connection.close()


async def _rows(dsn: str) -> bytes:
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        found = [await connection.fetch(f'SELECT t::text FROM "{table[0]}" t') for table in tables]
        return "\n".join(row[0] for rows in found for row in rows).encode()
    finally:
        await connection.close()
