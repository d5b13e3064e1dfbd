"""One engine process: its identity, its heartbeat, and what its flows share.

A warm worker has one for its whole life; the stock `process` worker makes one per flow run.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID, uuid4

import structlog

from flows.settings import EngineSettings
from store import channels, log_output
from store.audit_keys import Signer, read_signer
from store.connection import Database, Listener
from store.engine import leases, workers
from store.sealing import read_keys

log = structlog.get_logger("opsgate.engine")


class Doorbells:
    """Wakes whoever waits in memory for an instance. A ring is a hint: look again."""

    def __init__(self) -> None:
        self._bells: dict[int, set[asyncio.Event]] = {}

    def ring(self, payload: str) -> None:
        """Ring for one instance, or (empty, after a reconnect) for all."""
        rung = [self._bells.get(int(payload), set())] if payload else list(self._bells.values())
        for bells in rung:
            for bell in bells:
                bell.set()

    @asynccontextmanager
    async def listen(self, instance_id: int, bell: asyncio.Event) -> AsyncIterator[None]:
        """Have the bell rung for the instance; look at the store after hanging it, then wait."""
        bells = self._bells.setdefault(instance_id, set())
        bells.add(bell)
        try:
            yield
        finally:
            bells.discard(bell)
            if not bells:
                self._bells.pop(instance_id, None)


@dataclass
class EngineProcess:
    """What a running flow needs of the process it runs in."""

    settings: EngineSettings
    db: Database
    worker_id: UUID
    heart: Database
    """The heartbeat's one connection: it never waits for one of the pool that the segments share."""
    signer: Signer | None = None
    """Signs checkpoints of the audit chain."""
    bells: Doorbells = field(default_factory=Doorbells)
    hearing: dict[str, list[Callable[[str], None]]] = field(
        default_factory=lambda: {
            channel: [] for channel in (channels.INSTANCES, channels.OUTBOX, channels.RUNS)
        }
    )
    """Who is called when a channel is notified. One connection hears them all: PostgreSQL wakes every
    listening one at every notification, whatever its channel."""
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the process is asked to end: nothing waits hot any more."""
    engaged: set[int] = field(default_factory=set)
    """Instances whose lease this process takes, holds or gives back: one segment each."""
    unreleased: set[int] = field(default_factory=set)
    """Those of them that no segment runs any more; the store was away. Freed with a heartbeat."""


async def beat(process: EngineProcess) -> None:
    """Renew the leases of this process, after giving back those that it holds for nothing. One that
    can't be given back now, because its row is locked, does not hold the heartbeat up for long."""
    try:
        async with asyncio.timeout(workers.HEARTBEAT_SECONDS):
            for instance_id in list(process.unreleased):
                await leases.free(process.heart, instance_id, process.worker_id)
                process.unreleased.discard(instance_id)
                process.engaged.discard(instance_id)
    except TimeoutError:
        log.warning("a lease could not be given back yet; it is tried with the next heartbeat")
    async with asyncio.timeout(workers.LEASE_SECONDS):
        await workers.heartbeat(process.heart, process.worker_id)


async def _keep_beating(process: EngineProcess) -> None:
    while True:
        try:
            await beat(process)
        except Exception as error:
            log.warning("heartbeat failed; the leases of this worker may be taken over", error=repr(error))
        await asyncio.sleep(workers.HEARTBEAT_SECONDS)


def _tell(heard: list[Callable[[str], None]], payload: str) -> None:
    for callback in heard:
        callback(payload)


@asynccontextmanager
async def engine_process(settings: EngineSettings, *, pool_size: int = 12) -> AsyncIterator[EngineProcess]:
    """Open the store, register, beat and listen until the block ends."""
    log_output.configure()
    keys = None if settings.sealing_key_file is None else read_keys(settings.sealing_key_file)
    signer = None if settings.audit_key_file is None else read_signer(settings.audit_key_file)
    db = await Database.connect(settings.database_url, max_size=pool_size, name="opsgate-worker", keys=keys)
    heart = await Database.connect(settings.database_url, max_size=1, name="opsgate-heartbeat")
    process = EngineProcess(settings, db, uuid4(), heart, signer)
    await workers.register(db, process.worker_id, f"{socket.gethostname()}:{os.getpid()}")
    process.hearing[channels.INSTANCES].append(process.bells.ring)
    if settings.engine_steps:
        process.hearing[channels.JOBS] = []
    listener = Listener(
        db.dsn, {channel: partial(_tell, heard) for channel, heard in process.hearing.items()}
    )
    beating = asyncio.create_task(_keep_beating(process), name="opsgate-heartbeat")
    await listener.start()
    try:
        yield process
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        await listener.stop()
        try:
            await workers.stop(heart, process.worker_id)
        finally:
            await heart.close()
            await db.close()
