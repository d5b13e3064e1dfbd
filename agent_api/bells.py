"""Bells of hosts: a held-open poll sleeps here, without a connection, until its host is rung.

Rung by NOTIFY through one LISTEN connection for the whole process. A bell is a hint: the poll
looks again at the store, and also now and then by itself.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class HostBells:
    """The polls that wait, by host."""

    def __init__(self) -> None:
        self._waiting: dict[int, set[asyncio.Event]] = {}

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
    def listening(self, host_id: int) -> Iterator[asyncio.Event]:
        """An event that is set whenever the host is rung from now on."""
        event = asyncio.Event()
        self._waiting.setdefault(host_id, set()).add(event)
        try:
            yield event
        finally:
            self._waiting[host_id].discard(event)
            if not self._waiting[host_id]:
                del self._waiting[host_id]
