"""An engine process on a fresh database, without Prefect behind it."""

from uuid import uuid4

import pytest

from flows.process import EngineProcess
from flows.settings import EngineSettings
from store.connection import Database
from store.engine import workers
from tests.store.engine.conftest import instance as instance


@pytest.fixture
async def process(db: Database) -> EngineProcess:
    settings = EngineSettings(database_url=db.dsn, prefect_api_url="http://127.0.0.1:1/api")
    made = EngineProcess(settings, db, uuid4())
    await workers.register(db, made.worker_id, "test")
    return made
