"""Learns when instances end, without asking the API: a listener on the store's notifications."""

import asyncio
import time

from store import channels
from store.connection import Database, Listener

_TOGETHER_SECONDS = 0.005
"""Notifications within this time are answered by one query."""


class Endings:
    """Waits for instances to end. Asks the database only about instances that somebody waits for."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: dict[int, asyncio.Future[float]] = {}
        self._rung = asyncio.Event()
        self._listener = Listener(db.dsn, {channels.EVENTS: self._hear})
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin listening."""
        await self._listener.start()
        self._looking = asyncio.create_task(self._look(), name="endings")

    async def stop(self) -> None:
        """Stop listening."""
        await self._listener.stop()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def of(self, instance: int, limit_seconds: float) -> float:
        """The moment (of `time.monotonic`) at which the instance was seen to have completed."""
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[instance] = future
        self._rung.set()
        try:
            return await asyncio.wait_for(future, limit_seconds)
        finally:
            self._waiting.pop(instance, None)

    def _hear(self, payload: str) -> None:
        kind, _, number = payload.partition(":")
        if not payload or (kind == "instance" and int(number) in self._waiting):
            self._rung.set()

    async def _look(self) -> None:
        while True:
            await self._rung.wait()
            await asyncio.sleep(_TOGETHER_SECONDS)
            self._rung.clear()
            rows = await self._db.fetch(
                "SELECT id, status, reason FROM instances WHERE id = ANY ($1) AND ended_at IS NOT NULL",
                list(self._waiting),
            )
            now = time.monotonic()
            for row in rows:
                future = self._waiting.get(row["id"])
                if future is None or future.done():
                    continue
                if row["status"] == "completed":
                    future.set_result(now)
                else:
                    error = RuntimeError(f"instance {row['id']} ended {row['status']}: {row['reason']}")
                    future.set_exception(error)
