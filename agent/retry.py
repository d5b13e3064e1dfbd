"""When to try again: jittered backoff that ends early as soon as the server answers anybody."""

import asyncio
import random

FIRST_SECONDS = 0.1
LONGEST_SECONDS = 15.0


def delay(failures: int) -> float:
    """How long to wait after so many failures in a row: random, so that a fleet does not march in step."""
    ceiling = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(failures, 16))
    return random.uniform(ceiling / 2, ceiling)  # noqa: S311 - spreads load, guards nothing


class Tide:
    """Whether the server can be reached, known to all who wait for it."""

    def __init__(self) -> None:
        self._back = asyncio.Event()
        self._away = False

    def away(self) -> None:
        """The server could not be reached."""
        self._away = True

    def answered(self) -> None:
        """The server answered: after an absence whoever waits may try at once."""
        if self._away:
            self._away = False
            self._back.set()
            self._back = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Wait so long, or until the server answers somebody."""
        try:
            await asyncio.wait_for(self._back.wait(), seconds)
        except TimeoutError:
            return
        # Not all in the same instant.
        await asyncio.sleep(random.uniform(0, FIRST_SECONDS))  # noqa: S311
