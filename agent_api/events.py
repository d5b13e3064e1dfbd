"""In-process delivery of 'look again': one Listener on `channels.EVENTS`, many open streams.

`app.state.events` is the application's `Events`; its `deliver` is the Listener's callback for
`channels.EVENTS`. Carries topics (`instance:7`), never data: who is told reads the store again. The topic
`approval:*` is any approval.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class Subscription:
    """The topics one stream shows, and whether any of them has changed since it last looked."""

    def __init__(self, topics: Iterable[str]) -> None:
        self.topics = frozenset(topics)
        self._changed = asyncio.Event()

    def tell(self) -> None:
        """One of the topics has changed."""
        self._changed.set()

    async def wait(self, timeout: float) -> bool:
        """Whether something changed within `timeout` seconds. Forgets what it reports."""
        try:
            await asyncio.wait_for(self._changed.wait(), timeout)
        except TimeoutError:
            return False
        self._changed.clear()
        return True


class Events:
    """Everybody who has a stream open."""

    def __init__(self) -> None:
        self._open: set[Subscription] = set()

    def deliver(self, topic: str) -> None:
        """Tell who shows this topic; an empty one (the Listener reconnected) means any may have changed."""
        told = {topic, f"{topic.partition(':')[0]}:*"}
        for subscription in self._open:
            if not topic or told & subscription.topics:
                subscription.tell()

    @contextmanager
    def subscribe(self, topics: Iterable[str]) -> Iterator[Subscription]:
        """Be told of these topics until the block ends; `topics` of the subscription may be replaced."""
        subscription = Subscription(topics)
        self._open.add(subscription)
        try:
            yield subscription
        finally:
            self._open.discard(subscription)
