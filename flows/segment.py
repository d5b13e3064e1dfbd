"""One segment of an instance: from its frontier to the next suspension, or to the end.

Every step of the frontier runs as a Prefect task. When all that is left is waiting, the instance
is parked: first in the store, then in Prefect. Nothing is kept in memory across segments.
"""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State, StateDetails
from prefect.context import FlowRunContext
from prefect.exceptions import Abort
from prefect.states import Cancelled, Completed, Failed

from definitions import routing
from definitions.lifecycles.instance import InstanceStatus
from definitions.routing import Active
from flows import forms
from flows.compile import Call, CompiledWorkflow, current
from flows.process import EngineProcess, log
from flows.suspend import NotSuspended, suspend
from store.engine import commits, leases, situation
from store.engine.leases import Glance, Lease
from store.engine.situation import Situation, StepState
from store.failpoints import failpoint
from tasks.kinds import KINDS
from tasks.step_run import Settled, StepRun, Waiting, failed

STORE_AWAY = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
)
"""PostgreSQL is restarting, out of reach, or asks to try again: wait, then go on from what it has."""

STORE_PATIENCE_SECONDS = 120
_CALM_SECONDS = 5

_FIRST_LOOK_SECONDS, _LAST_LOOK_SECONDS = 0.25, 5.0
"""How long a hot wait goes unrung before it looks at the store all the same."""


def final_state(status: str) -> State[None]:
    """The Prefect state in which a run ends whose instance ended so. Why it did, the store says:
    a reason may quote values."""
    message = f"The instance is {status}; Opsgate says why."
    if status == InstanceStatus.COMPLETED:
        return Completed(message=message)
    if status == InstanceStatus.CANCELLED:
        return Cancelled(message=message)
    return Failed(message=message)


async def run_segment(process: EngineProcess, compiled: CompiledWorkflow, lease: Lease) -> State[None]:
    """Run the leased instance as far as it goes now. Raises Prefect's `Pause` when it suspends, and
    `Abort` (which leaves the run's state alone) when it can't go on."""
    try:
        return await _through_outages(process, compiled, lease)
    except leases.LeaseLost as refusal:
        raise Abort(str(refusal)) from refusal
    except Abort:
        raise
    except Exception as error:
        # The instance is safe in the store and the keeper sets it going again. Raised into Prefect,
        # the run would end red, with the error's text in its state.
        log.error("a segment broke off", instance=lease.instance_id, exc_info=error)
        raise Abort(f"The segment broke off ({type(error).__name__}).") from error


async def _through_outages(process: EngineProcess, compiled: CompiledWorkflow, lease: Lease) -> State[None]:
    """Begin again at the stored frontier when the store was away, for as long as the patience lasts.

    A segment that has run for a while since shows that the store was back: patience begins anew.
    """
    loop = asyncio.get_running_loop()
    away_since: float | None = None
    while True:
        loaded: float | None = None
        try:
            found = await situation.load(process.db, lease, compiled.workflow)
            loaded = loop.time()
            return await Segment(process, compiled, lease, found).run()
        except STORE_AWAY as error:
            now = loop.time()
            if away_since is None or (loaded is not None and now - loaded > _CALM_SECONDS):
                away_since = now
            if now - away_since > STORE_PATIENCE_SECONDS:
                raise
            log.warning("the store is away; waiting for it", instance=lease.instance_id, error=str(error))
            await asyncio.sleep(0.5)


class Segment:
    """The state of one segment: the situation as loaded, and what its steps answered."""

    def __init__(
        self, process: EngineProcess, compiled: CompiledWorkflow, lease: Lease, situation: Situation
    ) -> None:
        self.process = process
        self.compiled = compiled
        self.lease = lease
        self.situation = situation
        self.waiting: dict[Active, Waiting] = {}
        self.glance: Glance
        """Its `wake_seq` is as of before the frontier was looked at: what came later forbids a park."""

    async def run(self) -> State[None]:
        """Step after step, until the instance ends or only waits."""
        asked = {active for active, state in self.situation.results.items() if state.status == "waiting"}
        self.glance = await leases.glance(self.process.db, self.lease)
        while True:
            if self.glance.cancel_requested:
                reason = self.glance.cancel_reason or "Cancelled."
                await commits.end_cancelled(self.process.db, self.lease, reason)
                return final_state(InstanceStatus.CANCELLED)
            ended = await self._advance()
            if ended is not None:
                return ended
            if self.situation.frontier and all(active in self.waiting for active in self.situation.frontier):
                if still := asked & set(self.waiting):
                    sentences = [self.waiting[active].sentence for active in still]
                    log.info("resumed, but it still waits", instance=self.lease.instance_id, why=sentences)
                await self._park()
                self.glance = await leases.glance(self.process.db, self.lease)

    async def _advance(self) -> State[None] | None:
        """Run every step of the frontier once; returns the final state if that ended the instance."""
        self.waiting.clear()
        looked = self.glance
        answers = await asyncio.gather(*(self._run_step(active) for active in self.situation.frontier))
        for active, (answer, task_run_id) in zip(self.situation.frontier, answers, strict=True):
            if isinstance(answer, Waiting):
                self.waiting[active] = answer
                continue
            ended = await self._close(active, answer, task_run_id)
            if ended is not None:
                return ended
        if self.waiting:
            # Closing a step glanced anew, later than those that wait were looked at.
            self.glance = replace(self.glance, wake_seq=looked.wake_seq)
        return None

    async def _run_step(self, active: Active) -> tuple[Settled | Waiting, UUID | None]:
        """One task run of a step: begin it or settle it, then wait hot for its jobs."""
        run = StepRun(self.process.db, self.lease, self.situation, active)
        call = Call(lambda: self._work(run))
        token = current.set(call)
        try:
            call_task: Any = self.compiled.tasks[active.step]
            state: State[Any] = await call_task(wait_for=self._parents(active), return_state=True)
        finally:
            current.reset(token)
        task_run_id = state.state_details.task_run_id
        if call.answer is None:
            call.answer = self._broken(active, call.error)
        if isinstance(call.answer, Waiting) and task_run_id is not None:
            await commits.note_task_run(self.process.db, self.lease, active, task_run_id)
            self._remember(active, call.answer, task_run_id)
        return call.answer, task_run_id

    def _broken(self, active: Active, error: Exception | None) -> Settled:
        """The step's own code raised. Store trouble and a lost lease are not the step's failure;
        anything else is a mistake of ours that would only happen again: fail the step, say so."""
        if error is None or isinstance(error, (*STORE_AWAY, leases.LeaseLost)):
            raise error or RuntimeError(f"Prefect did not run the step {active.step}")
        log.error("a step broke", instance=self.lease.instance_id, step=active.step, exc_info=error)
        return failed(f"Opsgate itself failed here ({type(error).__name__}); the worker's log has more.")

    async def _work(self, run: StepRun) -> Settled | Waiting:
        kind = KINDS[run.step.type]
        state = self.situation.results.get(run.active)
        # The bell hangs before the jobs exist: no end of theirs is missed.
        async with self.process.bells.listen(self.lease.instance_id) as bell:
            answer = await (kind.begin(run) if state is None else kind.settle(run))
            if isinstance(answer, Waiting) and answer.kind == "jobs":
                answer = await self._wait_hot(run, answer, bell)
        return answer

    async def _wait_hot(
        self, run: StepRun, answer: Settled | Waiting, bell: asyncio.Event
    ) -> Settled | Waiting:
        """Jobs are usually quick: wait for them in memory before giving up the process.

        Looks again when rung, and unrung at growing intervals: a ring may be lost, or a cancel may
        have come before the bell hung.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self.process.settings.hot_seconds
        settle = KINDS[run.step.type].settle
        failpoint("worker.waiting_hot")
        pause = _FIRST_LOOK_SECONDS
        while not self.process.draining.is_set() and (left := until - loop.time()) > 0:
            try:
                await asyncio.wait_for(bell.wait(), min(left, pause))
                failpoint("worker.woken")
            except TimeoutError:
                pause = min(2 * pause, _LAST_LOOK_SECONDS)
            bell.clear()
            answer = await settle(run)
            if isinstance(answer, Settled):
                break
            if (await leases.glance(self.process.db, self.lease)).cancel_requested:
                break
        return answer

    def _parents(self, active: Active) -> list[State[int]]:
        """The task run before this one, as an edge of Prefect's graph, across segments and failures."""
        state = self.situation.results.get(active)
        parent = (
            state.task_run_id if state is not None and state.task_run_id else self.situation.last_task_run_id
        )
        context = FlowRunContext.get()
        if parent is None or context is None or context.flow_run is None:
            return []
        details = StateDetails(task_run_id=parent, flow_run_id=context.flow_run.id)
        return [Completed(data=0, state_details=details)]

    def _remember(self, active: Active, answer: Waiting, task_run_id: UUID) -> None:
        self.situation.results[active] = StepState(
            status="waiting",
            outcome=None,
            reason="",
            facts=None,
            wake_at=answer.wake_at,
            task_run_id=task_run_id,
        )

    async def _close(self, active: Active, answer: Settled, task_run_id: UUID | None) -> State[None] | None:
        """Commit a step's result and where it leads."""
        run = StepRun(self.process.db, self.lease, self.situation, active)
        advance = routing.advance(self.situation.workflow, self.situation.frontier, active, answer.outcome)
        cause = self.situation.cause_of_failure(active, answer.outcome, answer.reason)
        advance, self.glance = await commits.close_step(
            self.process.db,
            self.lease,
            run.row(answer.input),
            status=answer.status,
            outcome=answer.outcome,
            facts=answer.facts,
            reason=answer.reason,
            advance=advance,
            task_run_id=task_run_id,
            cause=cause,
        )
        failpoint("worker.between_steps")
        self.situation.frontier = advance.frontier
        self.situation.results[active] = StepState(
            answer.status, answer.outcome, answer.reason, answer.facts, None, task_run_id
        )
        self.situation.last_task_run_id = task_run_id or self.situation.last_task_run_id
        if advance.ended is None:
            return None
        return final_state(advance.ended)

    async def _park(self) -> None:
        """Park in the store, then suspend in Prefect; returns if something has happened meanwhile."""
        waits = list(self.waiting.values())
        kind: commits.ParkKind = "jobs" if any(wait.kind == "jobs" for wait in waits) else waits[0].kind
        moments = [wait.wake_at for wait in waits if wait.kind == "delay" and wait.wake_at is not None]
        number = await commits.park(
            self.process.db,
            self.lease,
            self.glance.wake_seq,
            kind,
            min(moments, default=None),
            " ".join(wait.sentence for wait in waits),
        )
        if number is None:
            return
        failpoint("worker.parked")
        context = FlowRunContext.get()
        if context is None or context.flow_run is None:
            raise RuntimeError("a segment runs inside a flow run")
        client = context.client
        assert isinstance(client, PrefectClient)
        try:
            form, text = await forms.form_for(self.process, self.situation, waits)
            await suspend(client, context.flow_run.id, number, form, text)
        except Exception as refusal:
            # Else the store has it parked, and Prefect shows it running and has no form for it.
            log.info("the suspension did not take", instance=self.lease.instance_id, error=repr(refusal))
            await commits.unpark(self.process.db, self.lease)
            if isinstance(refusal, NotSuspended):
                raise Abort(str(refusal)) from refusal
            raise
