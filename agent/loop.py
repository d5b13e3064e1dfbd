"""The agent's main loop: poll, take up jobs, pass on cancels, until told to stop.

It never runs a process itself and never waits for one: each attempt is a task of its own.
"""

import asyncio
import contextlib
import logging
import secrets
import signal
import socket
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent import __version__, facts, recovery
from agent.attempt import Attempt, Workshop
from agent.connection import (
    Answer,
    Connection,
    Decommissioned,
    Delivered,
    Refused,
    ServerAway,
    TokenUnknown,
    VersionTooOld,
    Wishes,
)
from agent.host import host_os
from agent.identity import Identity, next_key
from agent.journal import Entry, Journal, Key
from agent.new_key import keep_fresh
from agent.protocol import POLL_WAIT_SECONDS, AttemptRef, CompletedReport, Held, PollRequest
from agent.retry import delay
from agent.runner import Stop
from agent.sealed import Unsealer
from agent.tree import LauncherGone

log = logging.getLogger(__name__)

EXITS: dict[type[Exception], tuple[int, str]] = {
    LauncherGone: (1, "The agent's launcher process has died; start the agent again."),
    TokenUnknown: (3, "The server does not know this agent's token; enrol this host again."),
    Decommissioned: (4, "This host was decommissioned; the agent stops."),
    VersionTooOld: (5, "The server no longer speaks with this version of the agent; update it."),
}
"""Why the agent ends by itself: exit code and sentence."""

_SHORTEST_POLL_SECONDS = 0.3
_FLUSH_SECONDS = 5.0


@dataclass(frozen=True)
class Settings:
    """How this agent runs."""

    slots: int = 4
    grace_seconds: float = 10.0
    """How long running jobs may go on after SIGTERM."""
    wait_seconds: float = POLL_WAIT_SECONDS
    key_days: float = 30.0
    """How old the agent's key gets before it makes another; 0: for good."""


class Agent:
    """A running agent on one state folder."""

    def __init__(self, folder: Path, identity: Identity, settings: Settings, launcher: socket.socket) -> None:
        self._settings = settings
        self._journal = Journal(folder / "journal")
        self._shop = Workshop(
            boot_id=secrets.token_hex(16),
            folder=folder,
            journal=self._journal,
            connection=Connection(identity.server, identity.token, identity.ca_file),
            launcher=launcher,
            slots=asyncio.Semaphore(settings.slots),
            unsealer=Unsealer(identity.host_id, identity.agent_id, identity.private_key),
        )
        if (key := next_key(folder)) is not None:  # killed while it told the server of it
            self._shop.unsealer.also(key)
        self._news_of_host: dict[str, Any] = {
            "facts": facts.collect(),
            "os": host_os(),
            "arch": facts.architecture(),
        }
        """Told until a poll is answered."""
        self._attempts: dict[Key, Attempt] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._refusing: set[Key] = set()
        self._stopping = asyncio.Event()
        self._in_a_hurry = asyncio.Event()
        self._ask_again = asyncio.Event()
        self._freed = asyncio.Event()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> int:
        """Serve until SIGTERM (0) or until the server or the host makes it impossible."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        self._recover()
        polling = asyncio.create_task(self._poll_forever())
        stopping = asyncio.create_task(self._stopping.wait())
        shop = self._shop
        rekeying = asyncio.create_task(
            keep_fresh(shop.folder, shop.connection, shop.unsealer, self._settings.key_days)
        )
        code = 0
        try:
            ends: list[asyncio.Future[Any]] = [polling, stopping, self._failed]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for source in (polling, self._failed):
                if source.done() and (error := source.exception()) is not None:
                    code = _explain(error)
                    self._in_a_hurry.set()
            await self._wind_down(flush=code == 0)
        finally:
            for task in (polling, stopping, rekeying, *self._tasks):
                task.cancel()
            await asyncio.gather(polling, stopping, rekeying, *self._tasks, return_exceptions=True)
            await self._shop.connection.close()
            self._journal.close()
        return code

    # Beginning and end --------------------------------------------------------------------

    def _recover(self) -> None:
        held = self._journal.held()
        recovery.sweep(self._shop.folder, held)
        for entry in held:
            if entry.state == "started":
                recovery.kill_remains(entry)
        for entry in held:
            attempt = Attempt(self._shop, entry.key, to_run=False)
            if entry.report is not None:
                self._live(attempt, attempt.report_again(entry.report))
            else:
                self._live(attempt, attempt.report_interrupted(entry, recovery.INTERRUPTED))

    def _on_signal(self) -> None:
        if self._stopping.is_set():
            self._in_a_hurry.set()
            self._freed.set()
        log.info("Stopping: no more jobs are taken")
        self._stopping.set()
        self._ask_again.set()

    async def _wind_down(self, *, flush: bool) -> None:
        """Give running jobs their grace, stop the rest, and try to deliver the results."""
        self._stopping.set()
        if not self._in_a_hurry.is_set():
            await self._until_idle(self._settings.grace_seconds)
        for attempt in self._attempts.values():
            attempt.stop(Stop("interrupted", "The agent was stopped while it ran.", 1.0))
        await self._until_idle(None)
        if flush and self._tasks:
            await asyncio.wait(self._tasks, timeout=_FLUSH_SECONDS)

    async def _until_idle(self, seconds: float | None) -> None:
        """Wait until no attempt occupies a slot, so long at most; no longer when told to hurry."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._busy() and not (seconds and self._in_a_hurry.is_set()):
                    self._freed.clear()
                    await self._freed.wait()

    def _busy(self) -> int:
        return sum(attempt.occupies_a_slot for attempt in self._attempts.values())

    # Polling ------------------------------------------------------------------------------

    async def _poll_forever(self) -> None:
        request_id = secrets.token_hex(16)
        failures = 0
        while True:
            begun = asyncio.get_running_loop().time()
            try:
                wishes = await self._poll(request_id)
            except (TokenUnknown, Decommissioned, VersionTooOld):
                raise
            except (ServerAway, Answer) as error:
                # The reply may be lost and jobs claimed: the same request is asked again.
                failures += 1
                level = logging.WARNING if failures == 1 else logging.DEBUG
                log.log(level, "The server does not answer the poll (%s); trying again", error)
                await asyncio.sleep(delay(failures))
                continue
            if failures:
                log.info("The server answers again")
            failures = 0
            request_id = secrets.token_hex(16)
            if wishes is None:
                continue
            took = asyncio.get_running_loop().time() - begun
            if not self._carry_out(wishes) and took < _SHORTEST_POLL_SECONDS:
                # An answer at once with nothing new in it: don't spin.
                await asyncio.sleep(_SHORTEST_POLL_SECONDS)

    async def _poll(self, request_id: str) -> Wishes | None:
        """One poll. None: given up, because a slot became free where none was, or the agent stops."""
        self._ask_again.clear()
        free = 0 if self._stopping.is_set() else max(0, self._settings.slots - self._busy())
        request = PollRequest(
            boot_id=self._shop.boot_id,
            request_id=request_id,
            holding=[_held(entry) for entry in self._journal.held()],
            free_slots=free,
            wait_seconds=self._settings.wait_seconds,
            version=__version__,
            **self._news_of_host,
        )
        reason_to_give_up = self._stopping if free else self._ask_again
        asking = asyncio.create_task(self._shop.connection.poll(request))
        again = asyncio.create_task(reason_to_give_up.wait())
        try:
            await asyncio.wait({asking, again}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                return None
            wishes = asking.result()
            self._news_of_host = {}
            return wishes
        finally:
            asking.cancel()
            again.cancel()
            await asyncio.gather(asking, again, return_exceptions=True)

    def _carry_out(self, wishes: Wishes) -> bool:
        """Do what the server wants; False when nothing of it was new."""
        new = False
        for ref in wishes.forget:
            new |= self._drop(Key(ref.job_id, ref.attempt))
        for ref in wishes.cancel:
            key = Key(ref.job_id, ref.attempt)
            if key in self._attempts:
                self._attempts[key].cancel()
        if not self._stopping.is_set():
            for job in wishes.jobs:
                new |= self._take_up(job)
        return new

    def _drop(self, key: Key) -> bool:
        attempt = self._attempts.get(key)
        if attempt is None:
            return False
        attempt.drop()
        return True

    def _take_up(self, job: Delivered) -> bool:
        key = Key(job.ref.job_id, job.ref.attempt)
        if key in self._attempts:
            return False
        if self._journal.seen(key):
            self._refuse_seen(key)
            return False
        entry = Entry(job_id=key.job_id, attempt=key.attempt, state="accepted")
        try:
            self._journal.record(entry)
            attempt = Attempt(self._shop, key, to_run=True)
        except OSError as error:
            log.error("%s is not taken up, the journal can't be written: %s", key, error)
            return False
        self._live(attempt, attempt.live(job))
        return True

    def _refuse_seen(self, key: Key) -> None:
        """An attempt runs at most once, whoever delivers it again."""
        if key in self._refusing:
            return
        log.error("%s was delivered again after its end: refused", key)
        self._refusing.add(key)
        report = CompletedReport(outcome="refused", reason="This host has already had this attempt.")
        ref = AttemptRef(job_id=key.job_id, attempt=key.attempt)

        async def refuse() -> None:
            with contextlib.suppress(Refused):
                await self._shop.connection.report(ref, report)
            self._refusing.discard(key)

        self._watch(asyncio.create_task(refuse()))

    def _on_freed(self) -> None:
        self._freed.set()
        self._ask_again.set()

    # Tasks --------------------------------------------------------------------------------

    def _live(self, attempt: Attempt, life: Coroutine[None, None, None]) -> None:
        self._attempts[attempt.key] = attempt
        attempt.freed = self._on_freed
        task = asyncio.create_task(life)
        task.add_done_callback(lambda _: self._attempts.pop(attempt.key, None))
        self._watch(task)

    def _watch(self, task: "asyncio.Task[None]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._ask_again.set()
        if not task.cancelled() and (error := task.exception()) is not None and not self._failed.done():
            self._failed.set_exception(error)


def _held(entry: Entry) -> Held:
    assert entry.state != "forgotten"
    return Held(job_id=entry.job_id, attempt=entry.attempt, state=entry.state)


def _explain(error: BaseException) -> int:
    for kind, (code, sentence) in EXITS.items():
        if isinstance(error, kind):
            log.error("%s (%s)", sentence, error)
            return code
    log.error("The agent failed", exc_info=error)
    return 1
