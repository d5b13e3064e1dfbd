"""An instance of a two-step workflow, and workers to run it."""

from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import pytest

from store.connection import Database
from store.engine import workers

Worker = Callable[[], Awaitable[UUID]]


@pytest.fixture
def worker(db: Database) -> Worker:
    async def make() -> UUID:
        worker_id = uuid4()
        await workers.register(db, worker_id, "test")
        return worker_id

    return make


@pytest.fixture
async def instance(db: Database) -> int:
    steps = [{"id": "a", "type": "command", "command": "true"}, {"id": "b", "type": "delay", "seconds": 1}]
    workflow = await db.fetchval(
        "INSERT INTO workflows (name, draft, published_version) VALUES ('w', '{}', 1) RETURNING id"
    )
    await db.execute(
        "INSERT INTO workflow_versions (workflow_id, version, definition) VALUES ($1, 1, $2)",
        workflow,
        {"name": "w", "steps": steps},
    )
    host = await db.fetchval("INSERT INTO hosts (name, os) VALUES ('h', 'linux') RETURNING id")
    number: int = await db.fetchval(
        """INSERT INTO instances (workflow_id, workflow_version, host_ids, started_by_name, frontier)
           VALUES ($1, 1, $2, 'ann', $3) RETURNING id""",
        workflow,
        [host],
        [{"step": "a", "visit": 1}],
    )
    return number
