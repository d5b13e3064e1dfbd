"""Rotations side by side: whatever becomes due is begun, and a vault that hangs holds up its own alone.

Holds which identities are under way here, nothing that must outlive the process: whose turn it is stands in
the store, and who else is at it is told by its locks. How one is rotated is `tasks.rotation`.
"""

import asyncio
from collections import defaultdict
from functools import partial
from types import TracebackType

from store import rotations
from store.connection import Database
from tasks.rotation import advance

AT_ONCE = 4
"""Identities of one vault."""

AT_ONCE_IN_ALL = 24
"""Of all vaults: each keeps a connection for as long as its vault takes."""


class RotationRounds:
    """For as long as the block lasts; what is under way at its end is broken off."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._under_way: dict[int, asyncio.Task[bool]] = {}
        self._of_vault: defaultdict[str, asyncio.Semaphore] = defaultdict(partial(asyncio.Semaphore, AT_ONCE))
        self._in_all = asyncio.Semaphore(AT_ONCE_IN_ALL)
        self._errors: list[BaseException] = []

    async def __aenter__(self) -> "RotationRounds":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._under_way.values():
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    async def begin(self) -> int:
        """Begin the next step of every identity whose turn has come and that is not under way; returns of how
        many. Waits for none of them: what went wrong with one is raised by a later call."""
        found = await rotations.due(self._db, self._under_way)
        for identity_id, vault in found.items():
            task = asyncio.create_task(self._advance(identity_id, vault), name="opsgate-rotation")
            self._under_way[identity_id] = task
            task.add_done_callback(partial(self._ended, identity_id))
        if self._errors:
            errors, self._errors = self._errors, []
            raise errors[0]
        return len(found)

    async def _advance(self, identity_id: int, vault: str) -> bool:
        async with self._of_vault[vault], self._in_all:
            return await advance(self._db, identity_id)

    def _ended(self, identity_id: int, task: asyncio.Task[bool]) -> None:
        del self._under_way[identity_id]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._errors.append(error)
