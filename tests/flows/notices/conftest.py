"""A small organisation, an engine process that sends notices, and servers that take them."""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

import pytest

from definitions.permissions import SYSTEM, Actor
from flows.process import EngineProcess
from flows.settings import EngineSettings
from store import approvals, notice_channels, notice_deliveries
from store.connection import Database
from store.engine import workers
from store.notice_deliveries import DeliveryView
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


async def tells(process: EngineProcess, actor: Actor, url: str, name: str = "a", **more: Any) -> int:
    """Set up a channel."""
    return (await notice_channels.add(process.db, actor, name, url, **more)).id


async def all_due(process: EngineProcess, but: Sequence[str] = ()) -> None:
    """Time passes: everything that waits is due."""
    await process.db.execute("UPDATE notice_deliveries SET not_before = now()")
    await process.db.execute(
        "UPDATE outbox SET not_before = now() WHERE NOT payload ->> 'event' = ANY ($1)", but
    )


async def sent(process: EngineProcess) -> list[DeliveryView]:
    return (await notice_deliveries.listing(process.db, SYSTEM)).items


async def vote(org: Org, request: Any, actor: Actor, decision: Any = "approve") -> None:
    await approvals.vote(org.db, actor, request.id, decision, "", request.digest)
