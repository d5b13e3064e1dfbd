"""Everything that stands in a running stack's databases, to be searched."""

import asyncio

import asyncpg

from tests.live.stack import LiveStack


def rows(live: LiveStack, name: str) -> bytes:
    """Every row of `opsgate` or `prefect`, as text."""
    dsn = live.stack.environment["OPSGATE_DATABASE_URL"]
    return asyncio.run(_rows(dsn.replace("opsgate@/opsgate?", f"{name}@/{name}?")))


async def _rows(dsn: str) -> bytes:
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        found = [await connection.fetch(f'SELECT t::text FROM "{table[0]}" t') for table in tables]
        return "\n".join(row[0] for rows in found for row in rows).encode()
    finally:
        await connection.close()
