"""Agents that were recognised a moment ago: a busy one need not be looked up for each of its calls.

Safe because no call rests on this alone: an agent that is decommissioned loses its jobs in the same
transaction, and every statement that gives it one or takes its word asks again whether it is its own.
An unknown token is never remembered.
"""

import time
from collections.abc import Callable
from hashlib import sha256

from definitions.permissions import Actor
from store import agents
from store.connection import Database

SECONDS = 1.0
"""For so long at most a decommissioned agent gets a 409 or 404 where it will get a 403."""
_REMEMBERED = 10_000


class KnownAgents:
    """The agents of the last second, by their token's digest; no token stays in memory."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[bytes, tuple[Actor, float]] = {}

    async def recognise(self, db: Database, token: str) -> Actor:
        """The agent with this token; refused as `store.agents.authenticate` refuses."""
        key = sha256(token.encode("utf-8", "surrogatepass")).digest()
        actor, until = self._known.get(key, (None, 0.0))
        if actor is not None and self._clock() < until:
            return actor
        actor = await agents.authenticate(db, token)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[key] = actor, self._clock() + SECONDS
        return actor
