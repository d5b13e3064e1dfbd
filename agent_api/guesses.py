"""The brake on guessing: too many refused tries from one client address, counted in memory.

The address is the connection's own, or the one that a trusted proxy names (`authentication.address_of`).
"""

import time
from collections import OrderedDict, deque

from definitions.errors import RateLimited


class Guesses:
    """Refused tries of the last minutes, by address; forgets the oldest addresses first."""

    def __init__(self, allowed: int = 10, window_seconds: float = 900, remembered: int = 10_000) -> None:
        self._allowed, self._window, self._remembered = allowed, window_seconds, remembered
        self._tries: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Refuse an address that has been refused too often."""
        tries = self._tries.get(address, deque())
        while tries and tries[0] < time.monotonic() - self._window:
            tries.popleft()
        if len(tries) >= self._allowed:
            raise RateLimited("Too many refused tries from this address; wait 15 minutes.")

    def note(self, address: str) -> None:
        """Count a refused try."""
        self._tries.setdefault(address, deque(maxlen=self._allowed)).append(time.monotonic())
        self._tries.move_to_end(address)
        if len(self._tries) > self._remembered:
            self._tries.popitem(last=False)
