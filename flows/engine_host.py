"""Runs the jobs of `@engine` in this worker, as an agent does for its host: claims, starts, reports.

One worker does so at a time (`store.engine_host`), and only one that `engine_steps` allows to. It speaks
with the store directly where an agent speaks HTTP; the rules are the same, so a job starts at most once:
what ran when the worker was killed has ended with it, and is reported as interrupted.
"""

import asyncio
import base64
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.protocol import (
    CHUNK_BYTES,
    AttemptRef,
    CompletedReport,
    Held,
    JobMessage,
    Order,
    PollRequest,
    StartedReport,
    Stream,
)
from definitions.errors import Conflict, NotPermitted, OpsgateError
from definitions.permissions import Actor
from flows.away import STORE_AWAY
from flows.process import EngineProcess, log
from store import channels, claims, engine_host, job_output, jobs
from store.connection import Database
from store.engine.workers import LEASE_SECONDS
from tasks import engine_shell
from tasks.credentials import read_credential
from tasks.engine_shell import EngineShell

T = TypeVar("T")

SLOTS = 8
"""Jobs at once."""
_LOOK_SECONDS = 1.0
"""A ring may be lost; and it is the heartbeat that keeps other workers from taking over."""
_SILENT_LOOKS = math.ceil(LEASE_SECONDS / _LOOK_SECONDS) + 1
"""So often in a row a worker finds no new sign of life of another before it takes its place."""
_PRINT_SECONDS = 0.3
_AGAIN_SECONDS = 0.5

_read = partial(read_credential, seconds=2.0)
"""Its polls are its heartbeat: it waits for no vault so long that another takes over."""
_STREAMS: tuple[Stream, ...] = ("stdout", "stderr")


class EngineHost:
    """The agent of `@engine` in this worker, while no other worker is."""

    def __init__(self, process: EngineProcess) -> None:
        self._process = process
        self._db = process.db
        self._key = X25519PrivateKey.generate()
        self._boot_id = ""
        self._host_id = ""
        self._attempts: dict[AttemptRef, Attempt] = {}
        self._ring = asyncio.Event()
        process.hearing[channels.JOBS].append(self._heard)

    async def run(self) -> None:
        """Take the place when it is free; give it back at the end."""
        # Segments can't keep its heartbeat waiting for a connection; none is opened before it is needed.
        own = await Database.connect(
            self._db.dsn, min_size=0, max_size=1, name="opsgate-engine-host", keys=self._db.keys
        )
        try:
            while True:
                self._boot_id = str(uuid4())
                try:
                    if (agent := await self._wait_for_place(own)) is not None:
                        await self._serve(own, agent)
                except (Conflict, NotPermitted) as refusal:
                    log.warning("this worker runs no steps on its host any more", reason=str(refusal))
                except STORE_AWAY as error:
                    log.warning("the store is away; the engine's host waits for it", error=repr(error))
                except Exception as error:
                    log.error("the engine's host broke off; it begins again", exc_info=error)
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            await own.close()

    async def _wait_for_place(self, own: Database) -> Actor | None:
        """Become the agent once nobody is, or once who is has been silent for as long as this was looking.
        A look that fails ends it: then nobody could give a sign of life."""
        public_key = self._key.public_key().public_bytes_raw()
        silent, looks = await engine_host.sign(own), 1
        while silent is not None and looks < _SILENT_LOOKS:
            await asyncio.sleep(_LOOK_SECONDS)
            found = await engine_host.sign(own)
            silent, looks = found, looks + 1 if found == silent else 1
        return await engine_host.take_over(own, self._boot_id, public_key, silent)

    def _heard(self, host_id: str) -> None:
        if host_id in ("", self._host_id):
            self._ring.set()

    async def idle(self) -> None:
        """Until what runs has ended; nothing new is taken while the process drains."""
        while self._attempts:
            await asyncio.wait([attempt.task for attempt in self._attempts.values()])
            await asyncio.sleep(0)

    async def _serve(self, own: Database, agent: Actor) -> None:
        log.info("this worker runs the steps on the engine's host")
        self._host_id = str(agent.host_id)
        try:
            while True:
                self._ring.clear()
                try:
                    await self._poll(own, agent)
                except STORE_AWAY as error:
                    log.warning("a poll for the engine's host failed", error=repr(error))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ring.wait(), _LOOK_SECONDS)
        finally:
            for attempt in self._attempts.values():
                attempt.task.cancel()
            await asyncio.gather(*(each.task for each in self._attempts.values()), return_exceptions=True)
            with suppress(*STORE_AWAY):
                await engine_host.leave(own, agent, self._boot_id)

    async def _poll(self, own: Database, agent: Actor) -> None:
        free = 0 if self._process.draining.is_set() else max(0, SLOTS - len(self._attempts))
        holding = [Held(job_id=ref.job_id, attempt=ref.attempt, state="started") for ref in self._attempts]
        request = PollRequest(
            boot_id=self._boot_id, request_id=str(uuid4()), holding=holding, free_slots=free
        )
        reply = await claims.poll(own, agent, request, sure=True, read=_read)
        for job in reply.jobs:
            self._begin(agent, job)
        for ref in reply.cancel:
            if ref in self._attempts:
                self._attempts[ref].cancel()
        for ref in reply.forget:
            if ref in self._attempts:
                self._attempts[ref].task.cancel()

    def _begin(self, agent: Actor, job: JobMessage) -> None:
        assert agent.host_id is not None
        assert agent.id is not None
        key = base64.b64encode(self._key.private_bytes_raw()).decode("ascii")
        order = Order(job=job, host_id=agent.host_id, agent_id=agent.id, private_key=key)
        attempt = Attempt(self._process, agent, self._boot_id, order)
        self._attempts[attempt.ref] = attempt
        attempt.task.add_done_callback(lambda _: self._ended(attempt))

    def _ended(self, attempt: "Attempt") -> None:
        del self._attempts[attempt.ref]
        self._ring.set()


class Attempt:
    """One attempt, from its claim to the acknowledged report."""

    def __init__(self, process: EngineProcess, agent: Actor, boot_id: str, order: Order) -> None:
        self.ref = AttemptRef(job_id=order.job.job_id, attempt=order.job.attempt)
        self._db = process.db
        self._agent = agent
        self._boot_id = boot_id
        self._order = order
        self._sent: dict[Stream, tuple[int, int]] = dict.fromkeys(_STREAMS, (0, 0))
        self._shell: EngineShell | None = None
        self._cancelled = False
        self._leaked = False
        self.task = asyncio.create_task(self._live(), name=f"opsgate-engine-job-{self.ref.job_id}")

    def cancel(self) -> None:
        """A person wants it stopped."""
        self._cancelled = True
        if self._shell is not None:
            self._shell.cancel()

    async def _live(self) -> None:
        try:
            if not await self._say(StartedReport(boot_id=self._boot_id)):
                return
            async with engine_shell.running(self._order) as self._shell:
                if self._cancelled:
                    self._shell.cancel()
                while not self._shell.ended.done():
                    await asyncio.wait([self._shell.ended], timeout=_PRINT_SECONDS)
                    await self._ship(self._shell)
                await self._ship(self._shell)
                report = self._shell.report()
        except OpsgateError as refusal:
            log.warning("a job of the engine's host is not wanted any more", reason=str(refusal))
            return
        except OSError as error:
            report = CompletedReport(outcome="refused", reason=f"It could not be started: {error.strerror}.")
        except Exception as error:  # else it would run for ever
            log.error("a job of the engine's host broke off", job=self.ref.job_id, exc_info=error)
            reason = f"Opsgate itself failed while it ran ({type(error).__name__})."
            report = CompletedReport(outcome="interrupted", reason=reason)
        await self._say(report)

    async def _say(self, report: StartedReport | CompletedReport) -> bool:
        """Report; whether that was accepted."""
        reply = await self._insist(lambda: jobs.report(self._db, self._agent, *self._about, report))
        return reply.accepted

    async def _insist(self, tell: Callable[[], Awaitable[T]]) -> T:
        """Tell the store, the same again until it answers."""
        while True:
            try:
                return await tell()
            except STORE_AWAY as error:
                log.warning("the engine's host waits for the store", error=repr(error))
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _ship(self, shell: EngineShell) -> None:
        """Store what was printed since; before, that the credential it runs by was in it: this worker may be
        gone when it ends."""
        for stream in _STREAMS:
            while data := shell.read(stream, self._sent[stream][1], CHUNK_BYTES):
                await self._note_leak(shell)
                await self._insist(partial(self._store, stream, data))
        await self._note_leak(shell)  # also of what is over the cap

    async def _note_leak(self, shell: EngineShell) -> None:
        if not self._leaked and any(shell.redactions().values()):
            await self._insist(partial(jobs.printed_credential, self._db, self._agent, *self._about))
            self._leaked = True

    async def _store(self, stream: Stream, data: bytes) -> None:
        seq, offset = self._sent[stream]
        await job_output.append(self._db, self._agent, *self._about, stream, seq, offset, data)
        self._sent[stream] = seq + 1, offset + len(data)

    @property
    def _about(self) -> tuple[int, int]:
        return self.ref.job_id, self.ref.attempt
