"""A scheduler as a plain process: fires what is due of one recurring job, by a clock that runs fast.

Usage: python -m tests.live.scheduler DSN ID FIRST EPOCH SPEED UNTIL (moments in seconds since 1970).
The clock shows FIRST at EPOCH and goes SPEED times as fast; the process ends when it shows UNTIL and nothing
is left. It is killed at any moment, and another one goes on.
"""

import asyncio
import sys
import time
from datetime import UTC, datetime

from store import ticks
from store.connection import Database


async def main(dsn: str, number: int, first: float, epoch: float, speed: float, until: float) -> None:
    """Fire until the clock shows the end."""
    db = await Database.connect(dsn, max_size=1)
    while True:
        shows = min(until, first + (time.time() - epoch) * speed)
        await ticks.fire_due(db, number, datetime.fromtimestamp(shows, UTC))
        if shows >= until:
            return


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:])))
