"""Tells open pages that what they show has changed, by server-sent events.

One LISTEN connection a process, open only while somebody looks. An event carries no data: the
page asks again by an ordinary request, which checks permissions as ever.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from store import channels
from store.connection import Listener

HEARTBEAT_SECONDS = 15.0
SETTLE_SECONDS = 0.15
"""Changes closer together than this make one event."""
LIFETIME_SECONDS = 1800.0
"""Then the stream ends and the browser connects, and so signs in, again."""


class Changes:
    """Who watches what."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._watchers: dict[asyncio.Event, str] = {}
        self._listener: Listener | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def watch(self, topic: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever the topic changes; `approval:*` is any approval."""
        changed = asyncio.Event()
        changed.set()
        self._watchers[changed] = topic
        try:
            await self._listen()
            yield changed
        finally:
            del self._watchers[changed]
            await asyncio.shield(self._listen())

    async def _listen(self) -> None:
        """Have the connection open exactly while there are watchers."""
        async with self._lock:
            if self._watchers and self._listener is None:
                listener = Listener(self._dsn, {channels.EVENTS: self._deliver})
                await listener.start()
                self._listener = listener
            elif not self._watchers and self._listener is not None:
                listener, self._listener = self._listener, None
                await listener.stop()

    def _deliver(self, changed_topic: str) -> None:
        """Note a change; an empty topic means that some may have been missed."""
        kind = changed_topic.partition(":")[0]
        for changed, topic in self._watchers.items():
            if not changed_topic or topic in (changed_topic, f"{kind}:*"):
                changed.set()

    async def stream(self, topic: str) -> AsyncIterator[str]:
        """The event stream of one page: `changed` at once, so that it catches up, and at every change."""
        ends_at = asyncio.get_running_loop().time() + LIFETIME_SECONDS
        async with self.watch(topic) as changed:
            while asyncio.get_running_loop().time() < ends_at:
                try:
                    await asyncio.wait_for(changed.wait(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                changed.clear()
                yield "event: changed\ndata: look again\n\n"
                await asyncio.sleep(SETTLE_SECONDS)
