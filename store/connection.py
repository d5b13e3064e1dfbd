"""The way to PostgreSQL: a pool, transactions, and LISTEN.

Holds no SQL of the domain. JSONB columns are decoded to Python values and back.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, cast

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from definitions.parameters import LARGEST_INTEGER
from store.sealing import SealingKeys

Tx: TypeAlias = PoolConnectionProxy
"""A connection inside a transaction: what every guarded move runs on."""

Row: TypeAlias = asyncpg.Record

AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What a loop that goes on by itself survives. The last is what asyncpg says when the server is killed
between two messages of one statement."""


def _whole(digits: str) -> int | float:
    """JSONB writes 1e300 out as three hundred digits: what is too large for an integer there was none."""
    number = int(digits) if len(digits) <= _INTEGER_DIGITS else float(digits)
    return number if abs(number) <= LARGEST_INTEGER else float(digits)


_INTEGER_DIGITS = len(str(-LARGEST_INTEGER))
_decode = json.JSONDecoder(parse_int=_whole).decode


_SETTINGS = {"jit": "off"}


async def _prepare(connection: asyncpg.Connection) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, encoder=json.dumps, decoder=_decode, schema="pg_catalog")


async def _leave_as_is(connection: object) -> None:
    """What a session could keep is not used, so there is nothing to reset: the pool's default query is a
    round trip more for every use of a connection. Who does lock or set something for the session, as the
    keeper does, ends the connection with `terminate()`. (asyncpg itself rolls back an open transaction.)"""


class Database:
    """A pool of connections to Opsgate's database, and the keys that open what is sealed in it."""

    def __init__(self, pool: asyncpg.Pool, dsn: str, keys: SealingKeys | None = None) -> None:
        self._pool = pool
        self.dsn = dsn
        self.keys = keys
        """None: this process takes and opens no secret value."""

    @classmethod
    async def connect(
        cls,
        dsn: str,
        *,
        min_size: int = 1,
        max_size: int = 10,
        name: str = "opsgate",
        keys: SealingKeys | None = None,
    ) -> "Database":
        """Open the pool. `dsn` is a libpq URL; unix sockets by `?host=/dir`."""
        pool = await asyncpg.create_pool(
            dsn,
            min_size=min_size,
            max_size=max_size,
            init=_prepare,
            reset=_leave_as_is,
            server_settings={"application_name": name, **_SETTINGS},
        )
        return cls(pool, dsn, keys)

    async def close(self) -> None:
        """Close every connection; waits at most five seconds for those in use."""
        try:
            await asyncio.wait_for(self._pool.close(), 5)
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """A transaction: commits at the end of the block, rolls back on an exception."""
        async with self._pool.acquire() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Tx]:
        """A connection in autocommit, for reads. Who locks something for the session terminates it."""
        async with self._pool.acquire() as connection:
            yield connection

    @asynccontextmanager
    async def apart(self) -> AsyncIterator[Tx]:
        """A connection of its own, which ends with the block: to hold a lock while something slow is asked
        without keeping one of the pool."""
        connection = await asyncpg.connect(self.dsn, server_settings=_SETTINGS)
        try:
            await _prepare(connection)
            yield cast(Tx, connection)
        finally:
            connection.terminate()

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        """All rows of one query."""
        return await self._pool.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: Any) -> Row | None:
        """The first row, or None."""
        return await self._pool.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """The first column of the first row, or None."""
        return await self._pool.fetchval(sql, *args)

    async def execute(self, sql: str, *args: Any) -> str:
        """Run one statement in its own transaction; returns PostgreSQL's command tag."""
        return await self._pool.execute(sql, *args)


class Listener:
    """One connection that LISTENs and calls back; reconnects by itself.

    A notification is a hint and may be missed while reconnecting: after every reconnect each
    callback is called once with an empty payload, meaning 'look again'.
    """

    def __init__(self, dsn: str, callbacks: dict[str, Callable[[str], None]]) -> None:
        self._dsn = dsn
        self._callbacks = callbacks
        self._task: asyncio.Task[None] | None = None
        self._listening = asyncio.Event()

    async def start(self) -> None:
        """Begin listening; returns when the first LISTEN is in place."""
        self._task = asyncio.create_task(self._run(), name="opsgate-listen")
        await self._listening.wait()

    async def stop(self) -> None:
        """Stop listening and close the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self._listen_until_closed()
            except AWAY:
                await asyncio.sleep(0.5)

    async def _listen_until_closed(self) -> None:
        connection = await asyncpg.connect(self._dsn)
        closed = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: closed.set())
            for channel in self._callbacks:
                await connection.add_listener(channel, self._deliver)
            self._listening.set()
            for callback in self._callbacks.values():
                callback("")
            while not closed.is_set():
                try:
                    await asyncio.wait_for(closed.wait(), 30)
                except TimeoutError:
                    await connection.fetchval("SELECT 1")
        finally:
            connection.terminate()

    def _deliver(self, _connection: object, _pid: int, channel: str, payload: object) -> None:
        self._callbacks[channel](str(payload))
