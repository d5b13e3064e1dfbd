"""The warm worker: a Prefect worker type that runs flows in its own process.

Registered by the `prefect.collections` entry point; started by `opsgate worker`, or by
`prefect worker start --type opsgate`. A flow run starts in some hundredths of a second instead
of the seconds a new process takes. Overrides of `BaseWorker` are few and follow
`prefect/workers/base.py` of the pinned version.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import anyio.abc
from prefect.client.schemas.objects import FlowRun
from prefect.context import AsyncClientContext, SyncClientContext
from prefect.settings import (
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult

from flows import recurring
from flows.engine_host import EngineHost
from flows.execute import Executor
from flows.keeper import Keeper
from flows.process import EngineProcess, engine_process, log
from flows.settings import EngineSettings
from store import channels
from store.long_running import calm_collector, new_loop

_AGAIN_AFTER = (0.0, 0.1, 0.3, 1.0)
"""Polls after a ring: one in twelve runs was not yet visible to the first (measured)."""

_QUIET = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
"""Else a thread per run."""

DRAIN_SECONDS = 15.0
"""How long running segments may take to park when the worker is asked to end."""

ENGINE_DRAIN_SECONDS = 5.0
"""How long jobs of its own host may go on then; what still runs is killed, and reported as interrupted."""


class _NormalPark(logging.Filter):
    """Drops Prefect's line 'ERROR Finished in state Suspended': a park is no error."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "Finished in state Suspended" not in record.getMessage()


class OpsgateWorkerResult(BaseWorkerResult):
    """A segment has ended; how, the store says."""


class OpsgateWorker(BaseWorker[BaseJobConfiguration, BaseVariables, OpsgateWorkerResult]):
    """Polls the work pool, and is rung when a run is due."""

    type = "opsgate"
    job_configuration = BaseJobConfiguration
    _description = "Runs Opsgate workflows in a warm process."
    _display_name = "Opsgate"

    def __init__(self, *args: Any, settings: EngineSettings | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings = settings or EngineSettings()
        self._executor: Executor | None = None
        self._process: EngineProcess | None = None
        self._engine_host: EngineHost | None = None
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._polling = asyncio.Lock()
        self._ring = asyncio.Event()
        self._stop_requested = threading.Event()
        self._cancel_start: Callable[[], object] | None = None

    # -- life ----------------------------------------------------------------------------------
    async def start(
        self, run_once: bool = False, with_healthcheck: bool = False, printer: Callable[..., None] = print
    ) -> None:
        """Run until cancelled, on a loop off the main thread: Prefect's engine installs a
        process-wide SIGTERM handler for every flow it runs on the main one."""

        here, ended = asyncio.get_running_loop(), asyncio.Event()
        failure: list[BaseException] = []

        def serve() -> None:
            try:
                with asyncio.Runner(loop_factory=new_loop) as runner:
                    runner.run(self._serve(run_once, with_healthcheck, printer))
            except asyncio.CancelledError:
                log.info("the worker was asked to end before it had begun")
            except BaseException as error:
                failure.append(error)
            here.call_soon_threadsafe(ended.set)

        # A daemon: what hangs in it at the end must not keep the process.
        thread = threading.Thread(target=serve, name="opsgate-worker", daemon=True)
        thread.start()
        try:
            await ended.wait()
        finally:
            self._stop_requested.set()
            if (cancel := self._cancel_start) is not None:
                cancel()
            thread.join(DRAIN_SECONDS + 10)
        if failure:
            raise failure[0]

    async def _serve(self, run_once: bool, with_healthcheck: bool, printer: Callable[..., None]) -> None:
        loop, starting = asyncio.get_running_loop(), asyncio.current_task()
        assert starting is not None
        # The store or Prefect may be away for ever: starting must end when it is asked to.
        self._cancel_start = lambda: loop.call_soon_threadsafe(starting.cancel)
        async with AsyncExitStack() as stack:
            calm_collector()
            logging.getLogger("prefect.flow_runs").addFilter(_NormalPark())
            stack.enter_context(temporary_settings(_QUIET))
            # Prefect makes a synchronous client at every flow run, even one that asks it nothing, and
            # reads the machine's certificates for it: a quarter of the worker's CPU without this.
            stack.enter_context(SyncClientContext.get_or_create())
            shared = await stack.enter_async_context(AsyncClientContext())
            self._process = await stack.enter_async_context(engine_process(self._settings))
            self._executor = Executor(self._process, shared.client)
            keeper = Keeper(self._process, shared.client, self._take_up, self._has_room)
            work = asyncio.create_task(
                super().start(run_once, with_healthcheck, printer), name="opsgate-poll"
            )
            keeping = asyncio.create_task(keeper.run(), name="opsgate-keeper")
            hosting = self._host_engine_steps(self._process)
            self._process.hearing[channels.RUNS].append(lambda _: self._rung())
            self._cancel_start = None
            try:
                while not work.done() and not self._stop_requested.is_set():
                    await asyncio.wait([work], timeout=0.2)
                await self._drain()
            finally:
                for task in (keeping, hosting, work):
                    task.cancel()
                outcome = await asyncio.gather(keeping, hosting, work, return_exceptions=True)
            for result in outcome:
                if isinstance(result, Exception):
                    raise result

    def _host_engine_steps(self, process: EngineProcess) -> asyncio.Task[None]:
        if not process.settings.engine_steps:
            return asyncio.create_task(asyncio.sleep(0), name="opsgate-no-engine-host")
        self._engine_host = EngineHost(process)
        return asyncio.create_task(self._engine_host.run(), name="opsgate-engine-host")

    async def _drain(self) -> None:
        """Take nothing new; let what runs park, so that nothing has to crash."""
        assert self._process is not None
        self._process.draining.set()
        self._process.bells.ring("")
        try:
            await asyncio.wait_for(self._idle.wait(), DRAIN_SECONDS)
        except TimeoutError:
            log.warning("the worker ends while segments still run; the keeper sets them going again")
        if self._engine_host is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._engine_host.idle(), ENGINE_DRAIN_SECONDS)

    # -- taking runs ---------------------------------------------------------------------------
    def _has_room(self) -> bool:
        process = self._process
        return (
            process is not None
            and not process.draining.is_set()
            and self._in_flight < self._settings.worker_limit
        )

    def _take_up(self, flow_run: FlowRun) -> bool:
        """Run a flow run that the keeper in this process has just set going, without a poll."""
        if (
            not self._has_room()
            or self._runs_task_group is None
            or flow_run.id in self._submitting_flow_run_ids
        ):
            return False
        self._submitting_flow_run_ids.add(flow_run.id)
        self._runs_task_group.start_soon(self._submit_run, flow_run)
        return True

    def _rung(self) -> None:
        self._ring.set()
        if self._runs_task_group is not None and not self._polling.locked():
            self._runs_task_group.start_soon(self._poll_soon)

    async def _poll_soon(self) -> None:
        if self._polling.locked():
            return
        async with self._polling:
            pauses = list(_AGAIN_AFTER)
            while pauses or self._ring.is_set():
                pause = pauses.pop(0) if pauses else 0.0
                await asyncio.sleep(min(pause, _AGAIN_AFTER[1]))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ring.wait(), max(0.0, pause - _AGAIN_AFTER[1]))
                if self._ring.is_set():  # rung since: begin again, or it waits for the slow poll
                    self._ring.clear()
                    pauses = list(_AGAIN_AFTER[1:])
                await self.get_and_submit_flow_runs()

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Poll the pool, unless there is no room or the worker is ending. A poll that fails is not
        the last: raised here, it would end the worker, with everything that waits hot in it."""
        if not self._has_room():
            return []
        try:
            return await super().get_and_submit_flow_runs()
        except Exception as error:
            log.warning("a poll for flow runs failed; the next one is due soon", error=repr(error))
            return []

    async def sync_with_backend(self) -> None:
        """Tell Prefect that this worker lives; once it has begun, no failure of that ends it."""
        try:
            await super().sync_with_backend()
        except Exception as error:
            if not self._has_successfully_synced:
                raise
            log.warning("Prefect did not take this worker's sign of life", error=repr(error))

    async def _submit_run(self, flow_run: FlowRun) -> None:
        """Propose Pending and run; nothing else of the stock path (it makes five calls more)."""
        self._in_flight += 1
        self._idle.clear()
        try:
            pending = flow_run.state is not None and flow_run.state.is_pending()
            ready = pending or await self._propose_pending_state(flow_run)
            self._submitting_flow_run_ids.discard(flow_run.id)
            if ready and self._executor is not None and self._process is not None:
                if recurring.PARAMETER in flow_run.parameters:
                    await recurring.run_here(self._process, self._executor.client, flow_run)
                else:
                    await self._executor.execute(flow_run)
        except Exception as error:
            log.warning("a flow run could not be taken up", flow_run=str(flow_run.id), error=repr(error))
        finally:
            self._in_flight -= 1
            if self._in_flight == 0:
                self._idle.set()
            self._submitting_flow_run_ids.discard(flow_run.id)
            self._release_limit_slot(flow_run.id)
            if self._in_flight == self._settings.worker_limit - 1:
                self._rung()  # it was full; what was left waiting in the pool may come now

    async def run(
        self,
        flow_run: FlowRun,
        configuration: BaseJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> OpsgateWorkerResult:
        """What `BaseWorker` would call; `_submit_run` does not come through here."""
        if task_status is not None:
            task_status.started(0)
        assert self._executor is not None
        await self._executor.execute(flow_run)
        return OpsgateWorkerResult(status_code=0, identifier=str(flow_run.id))
