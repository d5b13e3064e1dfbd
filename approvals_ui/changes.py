"""Tells open pages that what they show has changed, by server-sent events.

An event carries no data: the page asks again by an ordinary request, which checks permissions as ever.
"""

import asyncio
from collections.abc import AsyncIterator

from agent_api.events import Events

HEARTBEAT_SECONDS = 15.0
SETTLE_SECONDS = 0.15
"""Changes closer together than this make one event."""
LIFETIME_SECONDS = 1800.0
"""Then the stream ends and the browser connects, and so signs in, again."""


async def stream(events: Events, topic: str) -> AsyncIterator[str]:
    """The event stream of one page: `changed` at once, so that it catches up, and at every change."""
    ends_at = asyncio.get_running_loop().time() + LIFETIME_SECONDS
    with events.subscribe([topic]) as subscription:
        subscription.tell()
        while asyncio.get_running_loop().time() < ends_at:
            if await subscription.wait(HEARTBEAT_SECONDS):
                yield "event: changed\ndata: look again\n\n"
                await asyncio.sleep(SETTLE_SECONDS)
            else:
                yield ": still here\n\n"
