"""Bells of hosts: a held-open poll sleeps here, without a connection, until its host is rung.

Rung by NOTIFY through one LISTEN connection for the whole process, and now and then, by one question
to the store for all who wait, for what no notification tells: a job became due, one got lost. A bell is
a hint: the poll looks again at the store.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from definitions.permissions import Actor
from store import claims
from store.connection import AWAY, Database

RECHECK_SECONDS = 5.0
"""How often a poll that is held open is looked after unrung."""


class HostBells:
    """The polls that wait, by host."""

    def __init__(self) -> None:
        self._waiting: dict[int, set[asyncio.Event]] = {}
        self._agents: Counter[int] = Counter()

    def ring(self, payload: str) -> None:
        """Wake the polls of a host; an empty payload wakes all ('look again')."""
        if not payload.isdigit():
            for events in self._waiting.values():
                for event in events:
                    event.set()
            return
        for event in self._waiting.get(int(payload), ()):
            event.set()

    @contextmanager
    def listening(self, agent: Actor) -> Iterator[asyncio.Event]:
        """An event that is set whenever the agent's host is rung from now on."""
        host_id, agent_id = agent.host_id or 0, agent.id or 0
        event = asyncio.Event()
        self._waiting.setdefault(host_id, set()).add(event)
        self._agents[agent_id] += 1
        try:
            yield event
        finally:
            self._agents[agent_id] -= 1
            if not self._agents[agent_id]:
                del self._agents[agent_id]
            self._waiting[host_id].discard(event)
            if not self._waiting[host_id]:
                del self._waiting[host_id]

    async def ring_for_the_due(self, db: Database) -> None:
        """Ring for ever, every few seconds, for the waiting polls that would find something."""
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            if self._agents:
                with suppress(*AWAY):
                    for host_id in await claims.hosts_with_work(db, list(self._agents)):
                        self.ring(str(host_id))
