"""Tells open pages that what they show has changed, by server-sent events.

One LISTEN connection a process, open only while somebody looks. An event carries no data: the
page asks again by an ordinary request, which checks permissions as ever.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent_api.events import Events, Subscription
from store import channels
from store.connection import Database, Listener

HEARTBEAT_SECONDS = 15.0
SETTLE_SECONDS = 0.15
"""Changes closer together than this make one event."""
LIFETIME_SECONDS = 1800.0
"""Then the stream ends and the browser connects, and so signs in, again."""


class Changes:
    """Who watches what."""

    def __init__(self, db: Database) -> None:
        self._dsn = db.dsn
        self._events = Events()
        self._watching = 0
        self._listener: Listener | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def watch(self, topic: str) -> AsyncIterator[Subscription]:
        """Be told of a topic; `approval:*` is any approval."""
        self._watching += 1
        try:
            await self._listen()
            with self._events.subscribe([topic]) as subscription:
                yield subscription
        finally:
            self._watching -= 1
            await asyncio.shield(self._listen())

    async def _listen(self) -> None:
        """Have the connection open exactly while somebody watches."""
        async with self._lock:
            if self._watching and self._listener is None:
                listener = Listener(self._dsn, {channels.EVENTS: self._deliver})
                await listener.start()
                self._listener = listener
            elif not self._watching and self._listener is not None:
                listener, self._listener = self._listener, None
                await listener.stop()

    def _deliver(self, topic: str) -> None:
        """Pass a change on; an empty topic means that some may have been missed."""
        self._events.deliver(topic)
        if topic:
            self._events.deliver(f"{topic.partition(':')[0]}:*")

    async def stream(self, topic: str) -> AsyncIterator[str]:
        """The event stream of one page: `changed` at once, so that it catches up, and at every change."""
        ends_at = asyncio.get_running_loop().time() + LIFETIME_SECONDS
        async with self.watch(topic) as subscription:
            subscription.tell()
            while asyncio.get_running_loop().time() < ends_at:
                if await subscription.wait(HEARTBEAT_SECONDS):
                    yield "event: changed\ndata: look again\n\n"
                    await asyncio.sleep(SETTLE_SECONDS)
                else:
                    yield ": still here\n\n"
