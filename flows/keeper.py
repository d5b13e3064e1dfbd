"""The keeper: brings Prefect along with the store, and owns every deadline.

One loop in every worker, of which one is active (advisory lock). Level-triggered: each round
reads from the facts what is to be done, so a lost notification, a dead worker or an engine
outage costs seconds, never an instance. A failing part of a round is logged and tried again in
the next one; it never stops the other parts. Deadlines, ticks, the audit chain, notices and rotations
have rounds of their own: they don't need Prefect, and a call to it, as one to a vault, may hang. So have
decisions, which are shown in Prefect when what they set going goes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

import asyncpg
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun

from flows import decisions, notices, prefect_runs, schedules
from flows.deploy import deploy
from flows.process import EngineProcess, log
from store import (
    approval_reach,
    approvals,
    audit_chain,
    channels,
    checkout_jobs,
    checkouts,
    job_checkouts,
    jobs,
    outbox,
)
from store.connection import Tx
from store.engine import attention, leftovers, workers
from store.engine.attention import Idle
from store.wakes import notify
from tasks.rotation_rounds import RotationRounds

_LOCK = 0x6F70736B
"""Advisory lock of the active keeper."""

TICK_SECONDS = 1.0
"""Longest time between two rounds: deadlines and lost notifications wait no longer than this."""

_DAY = 24 * 3600
"""Rounds of deadlines between two purges; the first is a new keeper's first."""

_SETTLE_SECONDS = 0.01
"""Rings within this time are answered by one round."""

_AT_ONCE = 8
"""Instances brought along side by side."""


class Keeper:
    """Runs rounds while it holds the lock; `take_up` hands a flow run to the worker in this process."""

    def __init__(
        self,
        process: EngineProcess,
        client: PrefectClient,
        take_up: Callable[[FlowRun], bool],
        has_room: Callable[[], bool],
    ) -> None:
        self.process = process
        self.db = process.db
        self.client = client
        self._take_up = take_up
        self._has_room = has_room
        self._ring = asyncio.Event()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._away = False

    async def run(self) -> None:
        """Wait for the lock, keep rounds going, give way when the lock's connection is lost."""
        self.process.hearing[channels.OUTBOX].append(lambda _: self._ring.set())
        self.process.hearing[channels.INSTANCES].append(self._woken)
        while True:
            try:
                async with self.db.connection() as lock:
                    try:
                        if await lock.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
                            await self._rounds(lock)
                    except BaseException:
                        # With the connection goes the lock, whatever broke off: no other way is as sure.
                        with suppress(asyncpg.InterfaceError):  # it is gone already
                            lock.terminate()
                        raise
            except Exception as error:
                log.warning("the keeper lost the store; trying again", error=repr(error))
            await asyncio.sleep(TICK_SECONDS)

    def _woken(self, payload: str) -> None:
        """An instance that a segment of this process runs hears for itself, and rings when it is done."""
        if not (payload.isdigit() and int(payload) in self.process.engaged):
            self._ring.set()

    async def _rounds(self, lock: Tx) -> None:
        log.info("this worker's keeper is active")
        beside = [
            asyncio.create_task(rounds(), name=f"opsgate-{rounds.__name__.strip('_')}")
            for rounds in (
                self._deadline_rounds,
                self._tick_rounds,
                self._audit_rounds,
                self._notice_rounds,
                self._decision_rounds,
                self._rotation_rounds,
            )
        ]
        number, loop = 0, asyncio.get_running_loop()
        checked = loop.time()
        try:
            while True:
                self._ring.clear()
                await self.round(number)
                number += 1
                if loop.time() - checked > TICK_SECONDS:
                    await lock.fetchval("SELECT 1")
                    checked = loop.time()
                try:
                    await asyncio.wait_for(self._ring.wait(), TICK_SECONDS)
                    await asyncio.sleep(_SETTLE_SECONDS)
                except TimeoutError:
                    continue
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def round(self, number: int) -> None:
        """Everything that Prefect is to be told now."""
        await self._try("errands", self._errands)
        await self._try("instances", self._instances)
        await self._try("schedules", lambda: schedules.tell(self.db, self.client))
        if number % 5 == 0:
            await self._try("schedules in Prefect", lambda: schedules.listen(self.db, self.client))
        if number % 60 == 0:
            await self._try("runs left behind", self._requeue)
            await self._try("ended runs", self._close_runs)

    async def _deadline_rounds(self) -> None:
        number = 0
        while True:
            await self.deadlines(number)
            number += 1
            await asyncio.sleep(TICK_SECONDS)

    async def _tick_rounds(self) -> None:
        while True:
            await self._try("overdue ticks", lambda: schedules.catch_up(self.db))
            await asyncio.sleep(TICK_SECONDS)

    async def _audit_rounds(self) -> None:
        while True:
            await self._try("audit chain", self._chain_audit)
            await asyncio.sleep(TICK_SECONDS)

    async def _chain_audit(self) -> None:
        chained = audit_chain.BATCH
        while chained == audit_chain.BATCH:
            chained = await audit_chain.extend(self.db, self.process.signer)

    async def _notice_rounds(self) -> None:
        while True:
            await self._try("notices", lambda: notices.round_of(self.process))
            await asyncio.sleep(TICK_SECONDS)

    async def _decision_rounds(self) -> None:
        while True:
            await self._try("decisions in Prefect", lambda: decisions.round_of(self.process, self.client))
            await asyncio.sleep(TICK_SECONDS)

    async def _rotation_rounds(self) -> None:
        async with RotationRounds(self.db) as rounds:
            while True:
                await self._try("rotations", rounds.begin)
                await asyncio.sleep(TICK_SECONDS)

    async def deadlines(self, number: int) -> None:
        """Everything that time alone brings about; safe to run beside another keeper's."""
        await self._try("approvals", lambda: approvals.expire_due(self.db))
        await self._try("checkouts", lambda: checkouts.end_overdue(self.db))
        await self._try("checkouts of jobs", lambda: job_checkouts.end_unused(self.db))
        await self._try("news of checkouts", lambda: checkouts.tell(self.db))
        await self._try("jobs without checkout", lambda: checkout_jobs.end_without(self.db))
        await self._try("moot requests", lambda: job_checkouts.withdraw_moot(self.db))
        if number % 15 == 0:
            await self._try("approvals out of reach", lambda: approval_reach.reject_unreachable(self.db))
        if number % 5 == 0:
            await self._try("stale jobs", lambda: jobs.fail_stale(self.db))
            await self._try("running jobs", lambda: jobs.time_out_running(self.db))
        if number % 3600 == 0:
            await self._try("old workers", lambda: workers.forget_old(self.db))
        if number % _DAY == 0:
            await self._try("leftovers", lambda: leftovers.purge(self.db))

    async def _try(self, part: str, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except Exception as error:
            log.warning(
                "a part of the keeper's round failed; it is tried again", part=part, error=repr(error)
            )

    async def _errands(self) -> None:
        for errand in await outbox.due(self.db, "deploy_workflow"):
            try:
                await self._carry_out(errand)
            except Exception as error:
                await outbox.postpone(self.db, errand, repr(error))
            else:
                await outbox.done(self.db, errand)

    async def _carry_out(self, errand: outbox.Errand) -> None:
        match errand.kind:
            case "deploy_workflow":
                await deploy(self.db, self.client, errand.payload["workflow_id"])

    async def _instances(self) -> None:
        found = await attention.idle(self.db)
        if not found:
            return
        alone = await workers.live(self.db) <= 1
        self._away = False
        await asyncio.gather(*(self._bring_along(idle, alone) for idle in found))

    async def _bring_along(self, idle: Idle, alone: bool) -> None:
        async with self._slots:
            if self._away:  # found out by another of this round; the next round asks again
                return
            here = alone and self._has_room()
            # Noted first: a segment that ends well meanwhile takes the note back, and must win.
            await attention.nudged(self.db, idle.instance_id)
            try:
                flow_run = await prefect_runs.set_going(self.db, self.client, idle, here=here)
            except Exception as error:
                log.warning(
                    "Prefect could not be brought along", instance=idle.instance_id, error=repr(error)
                )
                if prefect_runs.is_away(error):
                    self._away = True
                    await attention.not_reached(self.db, idle)
                return
            if flow_run is not None and not (here and self._take_up(flow_run)):
                async with self.db.transaction() as tx:
                    await notify(tx, channels.RUNS)
            if flow_run is not None and flow_run.id != idle.flow_run_id and self.process.settings.public_url:
                # When it is on its way: nobody waits for the link.
                page = f"{self.process.settings.public_url}/instances/{idle.instance_id}"
                await self._try("the link back", partial(prefect_runs.link_back, self.client, flow_run, page))

    async def _requeue(self) -> None:
        await schedules.requeue(self.client, datetime.now(UTC) - timedelta(seconds=schedules.LEFT_SECONDS))

    async def _close_runs(self) -> None:
        for ended in await attention.unclosed(self.db):
            await self._try("an ended run", partial(prefect_runs.close, self.db, self.client, ended))
