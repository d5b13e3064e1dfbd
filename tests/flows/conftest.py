"""An engine process on a fresh database, without Prefect behind it."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from flows.process import EngineProcess
from flows.settings import EngineSettings
from store.connection import Database
from store.engine import workers
from tests.store.engine.conftest import instance as instance


@pytest.fixture
async def process(db: Database) -> AsyncIterator[EngineProcess]:
    settings = EngineSettings(database_url=db.dsn, prefect_api_url="http://127.0.0.1:1/api")
    heart = await Database.connect(db.dsn, max_size=1)
    made = EngineProcess(settings, db, uuid4(), heart)
    await workers.register(db, made.worker_id, "test")
    yield made
    await heart.close()
