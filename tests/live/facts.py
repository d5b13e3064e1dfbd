"""What a test waits for instead of for some time: a busy machine is slow, and a fact is a fact."""

import asyncio
from typing import Any

from store.connection import Database

_LOCKED_OUT = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'"""


async def blocked(db: Database, *tasks: "asyncio.Task[Any]") -> None:
    """Until each of the tasks waits for a lock that somebody else holds."""
    # Not on the connection of a transaction: there PostgreSQL shows what it saw first.
    while await db.fetchval(_LOCKED_OUT) < len(tasks):
        assert not any(task.done() for task in tasks), "it did not have to wait"
        await asyncio.sleep(0.01)
