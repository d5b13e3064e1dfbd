"""A small organisation, an engine process that sends notices, and servers that take them."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from flows.process import EngineProcess
from flows.settings import EngineSettings
from store.connection import Database
from store.engine import workers
from store.sealing import KEY_BYTES, SealingKeys
from tests.live.sinks import Mailbox
from tests.store.workflows.conftest import Org
from tests.store.workflows.conftest import org as org


@pytest.fixture
async def process(db: Database, org: Org) -> EngineProcess:
    db.keys = SealingKeys([b"k" * KEY_BYTES])
    settings = EngineSettings(
        database_url=db.dsn,
        prefect_api_url="http://127.0.0.1:1/api",
        public_url="https://ops.example.org",
        notice_networks=["127.0.0.0/8", "::1/128"],
    )
    made = EngineProcess(settings, db, uuid4(), db)
    await workers.register(db, made.worker_id, "test")
    return made


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with Mailbox() as sink:
        yield sink
