"""Agents that run nothing and never give up: the protocol with every retry, and books of what happened.

One job is taken up, started and reported by the rules of the real agent; what "ran" is what the
server gave leave to run. Any answer may get lost: then the same thing is asked again.
"""

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from agent.protocol import PREFIX
from benchmarks.lean_http import LeanHttp, Refused
from benchmarks.ours.fleet import Seat

_PAUSE_SECONDS = 0.05

Key = tuple[int, int]
"""A job and its attempt."""

AlsoHeld = Callable[[Seat], Awaitable[list[Key]]]


@dataclass
class Books:
    """What all claimers together have seen."""

    ran: Counter[int] = field(default_factory=Counter)
    """Leave to run, by job."""
    ended: set[int] = field(default_factory=set)
    unheard: set[int] = field(default_factory=set)
    """Jobs of replies that were thrown away."""
    again: set[int] = field(default_factory=set)
    """Those of them that came in a later reply."""
    after_their_end: set[int] = field(default_factory=set)
    """Given once more although their claimer had reported their end."""
    deaf: bool = False
    """While set, replies to polls are thrown away on arrival, as if the connection had broken."""


class Claimer:
    """Speaks for one host. `run` until cancelled."""

    def __init__(
        self, url: str, seat: Seat, books: Books, *, slots: int = 8, also_held: AlsoHeld | None = None
    ) -> None:
        """`also_held`: attempts that it says it holds although it may never have got them."""
        self._seat = seat
        self._books = books
        self._slots = slots
        self._also_held = also_held
        self._boot = secrets.token_hex(16)
        self._held: set[Key] = set()
        self._had: set[Key] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._http = LeanHttp(url + PREFIX)
        self._http.headers["Authorization"] = f"Bearer {seat.token}"

    async def run(self) -> None:
        """Poll and do what comes."""
        request_id = secrets.token_hex(16)
        try:
            while True:
                jobs = await self._poll(request_id)
                if jobs is None:
                    await asyncio.sleep(_PAUSE_SECONDS)
                    continue
                request_id = secrets.token_hex(16)
                for job in jobs:
                    self._take((job["job_id"], job["attempt"]))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._http.close()

    async def _poll(self, request_id: str) -> list[dict[str, Any]] | None:
        """The jobs of a reply; None when it got lost."""
        more = await self._also_held(self._seat) if self._also_held else []
        held = self._held.union(more)
        body = {
            "boot_id": self._boot,
            "request_id": request_id,
            "holding": [{"job_id": job, "attempt": n, "state": "accepted"} for job, n in held],
            "free_slots": max(0, self._slots - len(self._held)),
            "wait_seconds": 0.5,
        }
        reply = await self._ask("/poll", body)
        if reply is None:
            return None
        jobs: list[dict[str, Any]] = reply["jobs"]
        if self._books.deaf:
            self._books.unheard.update(job["job_id"] for job in jobs)
            return None
        return jobs

    def _take(self, key: Key) -> None:
        if key[0] in self._books.unheard:
            self._books.again.add(key[0])
        if key in self._had:
            if key not in self._held:
                self._books.after_their_end.add(key[0])
            return
        self._had.add(key)
        self._held.add(key)
        task = asyncio.create_task(self._do(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _do(self, key: Key) -> None:
        try:
            if await self._report(key, {"state": "started", "boot_id": self._boot}):
                self._books.ran[key[0]] += 1
                assert await self._report(key, {"state": "completed", "outcome": "exited", "exit_code": 0})
                self._books.ended.add(key[0])
        finally:
            self._held.discard(key)

    async def _report(self, key: Key, body: dict[str, Any]) -> bool:
        """Say it until it is acknowledged; False when it is refused."""
        while (reply := await self._ask(f"/jobs/{key[0]}/{key[1]}/state", body)) is None:
            await asyncio.sleep(_PAUSE_SECONDS)
        return bool(reply["accepted"])

    async def _ask(self, address: str, body: dict[str, Any]) -> Any:
        """The answer, or None when there was none that counts."""
        try:
            return await self._http.post(address, body)
        except (OSError, EOFError):
            return None
        except Refused as refused:
            if refused.status == 409:
                return {"accepted": False, "jobs": []}
            if refused.status < 500:
                raise
            return None


@contextlib.asynccontextmanager
async def at_work(claimers: list[Claimer]) -> AsyncIterator[None]:
    """All of them running for the time of the block; an error of one ends the block."""
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(claimer.run()) for claimer in claimers]
        yield
        for task in running:
            task.cancel()
