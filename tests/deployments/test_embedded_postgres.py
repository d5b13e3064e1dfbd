"""The embedded PostgreSQL: private, on a socket alone, and itself again after being killed."""

import asyncio
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from deployments.stack.data_folder import DataFolder
from deployments.stack.postgres import Postgres
from deployments.stack.processes import Processes


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[tuple[Postgres, Processes]]:
    processes = Processes()
    postgres = Postgres(DataFolder(path))
    try:
        await postgres.start(processes)
        yield postgres, processes
    finally:
        await processes.stop()


async def ask(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def connects(url: str) -> bool:
    try:
        await ask(url, "SELECT 1")
    except (OSError, asyncpg.PostgresError):
        return False
    return True


async def test_data_outlives_a_stop_and_a_kill(tmp_path: Path):
    async with running(tmp_path / "data") as (postgres, _):
        await ask(postgres.url("opsgate"), "CREATE TABLE kept (n int)")
    async with running(tmp_path / "data") as (postgres, processes):
        await ask(postgres.url("opsgate"), "INSERT INTO kept VALUES (7)")
        before = processes.pid("postgres")
        assert before is not None
        os.kill(before, signal.SIGKILL)
        async with asyncio.timeout(30):
            while processes.pid("postgres") in (None, before) or not await connects(postgres.url("opsgate")):
                await asyncio.sleep(0.05)
        assert await ask(postgres.url("opsgate"), "SELECT n FROM kept") == 7


@pytest.mark.skipif(sys.platform != "linux", reason="syncfs is Linux's")
async def test_after_a_crash_the_data_is_synced_by_one_call_not_file_by_file(tmp_path: Path):
    async with running(tmp_path / "data") as (postgres, _):
        assert await ask(postgres.url("postgres"), "SHOW recovery_init_sync_method") == "syncfs"


async def test_each_database_belongs_to_a_role_that_is_no_superuser(tmp_path: Path):
    async with running(tmp_path / "data") as (postgres, _):
        for name in ("opsgate", "prefect"):
            sql = "SELECT current_user || ' ' || usesuper FROM pg_user WHERE usename = current_user"
            assert await ask(postgres.url(name), sql) == f"{name} false"
        assert await ask(postgres.url("prefect"), "CREATE EXTENSION pg_trgm") is None


async def test_nothing_listens_on_the_network_and_the_socket_folder_is_closed(tmp_path: Path):
    async with running(tmp_path / "data") as (postgres, _):
        assert await ask(postgres.url("postgres"), "SHOW listen_addresses") == ""
        sockets = Path(str(await ask(postgres.url("postgres"), "SHOW unix_socket_directories")))
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700


async def test_the_kernel_says_who_connects_and_no_password_exists(tmp_path: Path):
    async with running(tmp_path / "data") as (postgres, _):
        rules = "SELECT string_agg(type || ' ' || auth_method, ',') FROM pg_hba_file_rules"
        assert await ask(postgres.url("postgres"), rules) == "local peer"
        assert (
            await ask(postgres.url("postgres"), "SELECT count(*) FROM pg_authid WHERE rolpassword <> ''") == 0
        )


async def test_a_path_too_long_for_a_socket_works_all_the_same(tmp_path: Path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    async with running(deep / "data") as (postgres, _):
        assert await connects(postgres.url("opsgate"))
        sockets = Path(str(await ask(postgres.url("postgres"), "SHOW unix_socket_directories")))
    assert len(str(sockets)) < 60
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700


async def test_an_interrupted_first_start_is_begun_again(tmp_path: Path):
    folder = DataFolder(tmp_path / "data")
    folder.folder("postgres", "half-made")
    async with running(tmp_path / "data") as (postgres, _):
        assert await connects(postgres.url("opsgate"))
