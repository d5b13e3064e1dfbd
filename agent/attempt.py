"""The life of one attempt on this host: accepted, started, run, completed, reported, forgotten.

Each step is on disk before the next is taken, and nothing runs before the server has acknowledged
`started`. Results are held and sent until the server takes or refuses them.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent import processes, tree, work
from agent.connection import Connection, Delivered, Refused
from agent.journal import Entry, Journal, Key
from agent.output import StreamOutput, redactions
from agent.protocol import AttemptRef, CompletedReport, StartedReport, Stream
from agent.runner import CANCEL_GRACE_SECONDS, Ending, Stop
from agent.sealed import Unsealer
from agent.spool import Spool

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Workshop:
    """What every attempt on this host works with."""

    boot_id: str
    folder: Path
    journal: Journal
    connection: Connection
    launcher: socket.socket
    slots: asyncio.Semaphore
    unsealer: Unsealer

    def outputs(self, key: Key) -> tuple[StreamOutput, StreamOutput]:
        """Both streams of an attempt, with what is already spooled."""
        stem = self.folder / "spool" / f"{key.job_id}-{key.attempt}"
        return (
            StreamOutput("stdout", Spool(stem.with_suffix(".stdout"))),
            StreamOutput("stderr", Spool(stem.with_suffix(".stderr"))),
        )

    def work_folder(self, key: Key) -> Path:
        """Where an attempt's file lies and its process starts; gone when it ends."""
        return self.folder / "work" / f"{key.job_id}-{key.attempt}"

    def record(self, entry: Entry) -> None:
        """Journal, and go on when the disk is full: the server still learns the result."""
        try:
            self.journal.record(entry)
        except OSError as error:
            log.error("The journal could not be written: %s", error)


class Attempt:
    """One attempt, from its delivery or, after a restart, from its result."""

    def __init__(self, shop: Workshop, key: Key, *, to_run: bool) -> None:
        self.key = key
        self.ref = AttemptRef(job_id=key.job_id, attempt=key.attempt)
        self.occupies_a_slot = to_run
        self.freed: Callable[[], None] = lambda: None
        """Called when the slot is free again."""
        self._shop = shop
        self._outputs = shop.outputs(key)
        for out in self._outputs:
            out.noted = self._record_started
        self._tree: tree.ProcessTree | None = None
        self._stop: asyncio.Future[Stop] = asyncio.get_running_loop().create_future()
        self._dropped = asyncio.Event()

    def stop(self, stop: Stop) -> None:
        """Stop it and report why. The first reason counts."""
        if not self._stop.done():
            self._stop.set_result(stop)

    def cancel(self) -> None:
        """A person wants it stopped."""
        self.stop(Stop("cancelled", "It was cancelled.", CANCEL_GRACE_SECONDS))

    def drop(self) -> None:
        """The server wants neither it nor its result: kill it if it runs, and forget it."""
        self._dropped.set()
        self.stop(Stop("cancelled", "The server no longer wants it.", CANCEL_GRACE_SECONDS))

    async def live(self, job: Delivered) -> None:
        """Everything from delivery on. The attempt is already journaled as accepted."""
        shippers: list[asyncio.Task[None]] = []
        try:
            async with self._shop.slots:
                if not await self._may_start():
                    self._withdraw()
                    return
                shippers = [asyncio.create_task(out.ship(self._send)) for out in self._outputs]
                report = self._complete(await self._run(job))
            self._free()
            await self._deliver(report, shippers)
        finally:
            self._free()
            for shipper in shippers:
                shipper.cancel()

    async def report_interrupted(self, last: Entry, reason: str) -> None:
        """After a restart: it had started and has no result."""
        for out in self._outputs:
            out.recall(last.redactions)
        await self.report_again(self._complete(Ending("interrupted", reason=reason)))

    async def report_again(self, report: CompletedReport) -> None:
        """After a restart: send a result that was not acknowledged, and the output it speaks of."""
        streams = zip(self._outputs, (report.stdout, report.stderr), strict=True)
        shippers = [asyncio.create_task(out.ship(self._send)) for out, said in streams if said.inline is None]
        for out in self._outputs:
            out.finish()
        await self._deliver(report, shippers)

    async def _may_start(self) -> bool:
        """Ask leave to run until there is an answer; False when this attempt is simply given back."""
        asking = asyncio.create_task(
            self._shop.connection.report(self.ref, StartedReport(boot_id=self._shop.boot_id))
        )
        ends: list[asyncio.Future[Any]] = [asking, self._stop]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                asking.result()
        except Refused as error:
            log.warning("%s is not started: %s", self.key, error)
            return False
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        # Cancelled by a person: that is reported. Unwanted, or the agent stops: the server has it back.
        given_back = self._stop.done() and (
            self._dropped.is_set() or self._stop.result().outcome == "interrupted"
        )
        return not given_back

    async def _run(self, job: Delivered) -> Ending:
        if self._stop.done():
            stop = self._stop.result()
            return Ending(stop.outcome, reason=f"{stop.reason} It had not started.")
        if job.payload is None:
            return Ending("refused", reason=job.problem)
        self._record_started()
        folder = self._shop.work_folder(self.key)
        due = work.Work(self.ref, job.payload, job.sealed, folder, self._outputs, job.identity)
        return await work.carry_out(
            due,
            self._shop.unsealer,
            self._shop.launcher,
            self._stop,
            self._record_started,
        )

    def _record_started(self, running: tree.ProcessTree | None = None) -> None:
        """That it runs, by which processes, and what was replaced in its output: what must outlive the agent
        while there is no result."""
        self._tree = running or self._tree
        self._shop.record(self._entry("started"))

    def _complete(self, ending: Ending) -> CompletedReport:
        """Put the result on disk."""
        report = work.completed(ending, self._outputs)
        self._shop.record(self._entry("completed", report=report))
        log.info("%s: %s %s", self.key, ending.outcome, ending.reason or ending.exit_code)
        return report

    async def _deliver(self, report: CompletedReport, shippers: list[asyncio.Task[None]]) -> None:
        """Send output, then the result, until the server has it or does not want it. That a secret was
        printed it is told in any case."""
        try:
            sent = await self._sent(report, shippers)
            if not sent and (report.stdout.redacted or report.stderr.redacted):
                await self._shop.connection.report(self.ref, report)
        except Refused as error:
            log.warning("The result of %s is dropped: %s", self.key, error)
        finally:
            for shipper in shippers:
                shipper.cancel()
            await asyncio.gather(*shippers, return_exceptions=True)
        self._forget()

    async def _sent(self, report: CompletedReport, shippers: list[asyncio.Task[None]]) -> bool:
        """Send all of it; False when the server says meanwhile that it wants nothing of the attempt."""
        if self._dropped.is_set():
            return False
        delivery = asyncio.create_task(self._send_all(report, shippers))
        dropped = asyncio.create_task(self._dropped.wait())
        try:
            await asyncio.wait({delivery, dropped}, return_when=asyncio.FIRST_COMPLETED)
            if delivery.done():
                delivery.result()
            return delivery.done()
        finally:
            for task in (delivery, dropped):
                task.cancel()
            await asyncio.gather(delivery, dropped, return_exceptions=True)

    async def _send_all(self, report: CompletedReport, shippers: list[asyncio.Task[None]]) -> None:
        await asyncio.gather(*shippers)
        await self._shop.connection.report(self.ref, report)

    async def _send(self, stream: Stream, seq: int, offset: int, data: bytes) -> bool:
        return await self._shop.connection.output(self.ref, stream, seq, offset, data)

    def _free(self) -> None:
        if self.occupies_a_slot:
            self.occupies_a_slot = False
            self.freed()

    def _withdraw(self) -> None:
        """It never ran: should the server deliver it again, it may."""
        self._shop.journal.withdraw(self.key)
        for out in self._outputs:
            out.delete()

    def _forget(self) -> None:
        self._shop.record(self._entry("forgotten"))
        for out in self._outputs:
            out.delete()

    def _entry(
        self,
        state: str,
        report: CompletedReport | None = None,
    ) -> Entry:
        running = self._tree if state == "started" else None
        return Entry.model_validate(
            {
                "job_id": self.key.job_id,
                "attempt": self.key.attempt,
                "state": state,
                "kernel_boot": processes.kernel_boot() if running else "",
                "leader": running.leader if running else None,
                "supervisor": running.supervisor if running else None,
                "redactions": redactions(self._outputs) if state == "started" else {},
                "report": report,
            }
        )
