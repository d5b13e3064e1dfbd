"""The schema: what PostgreSQL itself refuses, whoever asks."""

import asyncpg
import pytest

from store.connection import Database


async def test_a_move_that_is_not_listed_fails_in_sql_too(db: Database) -> None:
    host = await db.fetchval("INSERT INTO hosts (name, os) VALUES ('web-1', 'linux') RETURNING id")
    job = await db.fetchval(
        "INSERT INTO jobs (type, priority, host_id, payload, timeout_seconds, created_by_name) "
        "VALUES ('command', 2, $1, '{}', 300, 'ann') RETURNING id",
        host,
    )
    with pytest.raises(asyncpg.CheckViolationError, match="queued -> completed"):
        await db.execute("UPDATE jobs SET status = 'completed' WHERE id = $1", job)
