"""One step of the frontier while a segment runs it: its task in Prefect, and its waiting in memory.

Settles nothing by itself: `flows.segment` commits what a member answers, one after the other.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import State, StateDetails
from prefect.context import FlowRunContext, TaskRunContext
from prefect.states import Completed

from definitions.lifecycles.instance import StepStatus
from definitions.routing import Active, Outcome
from flows.away import STORE_AWAY
from flows.compile import Call, CompiledWorkflow, current
from flows.process import EngineProcess, log
from store.engine import commits, leases
from store.engine.leases import Glance, Lease
from store.engine.situation import Situation, StepState
from store.failpoints import failpoint
from tasks.kinds import KINDS
from tasks.step_run import Settled, StepRun, Waiting, failed

_FIRST_LOOK_SECONDS, _LAST_LOOK_SECONDS = 0.25, 5.0
"""How long a wait goes unrung before it looks at the store all the same."""

DROPPED = Settled(Outcome.CANCELLED, StepStatus.CANCELLED, "Its branch was given up.")
"""The answer of a step that is in no frontier any more. Nothing is committed for it."""


def _until(moment: datetime | None) -> float:
    """Seconds until a moment that the database's clock decides about: ours may be wrong, so this is only when
    to look again."""
    if moment is None:
        return _LAST_LOOK_SECONDS
    return max(_FIRST_LOOK_SECONDS, (moment - datetime.now(UTC)).total_seconds())


@dataclass
class Watch:
    """What the members of one segment see together."""

    glance: Glance = field(init=False)
    """The newest; of before whatever a member looks at next."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Rung when a member has ended or only waits now."""
    leaving: bool = False
    """Members that wait shall end their tasks: the instance parks or ends."""


class Member:
    """One visit of one step, from now to its answer."""

    def __init__(
        self,
        process: EngineProcess,
        compiled: CompiledWorkflow,
        lease: Lease,
        situation: Situation,
        watch: Watch,
        active: Active,
    ) -> None:
        self.process = process
        self.compiled = compiled
        self.lease = lease
        self.situation = situation
        self.watch = watch
        self.active = active
        self.only_waits = False
        """For people, for time, for branches; or for jobs that take longer than is waited for in memory."""
        self.looked = watch.glance.wake_seq
        """As of before it last looked: what was noted later forbids a park."""
        self.task_run_id: UUID | None = None
        self._dropped = False
        self._bell = asyncio.Event()
        self.task = asyncio.create_task(self._live(), name=f"opsgate-step-{active.step}")
        self.task.add_done_callback(lambda _: watch.changed.set())

    def ring(self) -> None:
        """Have it look again, or see that it shall leave."""
        self._bell.set()

    def look(self) -> None:
        """Have it look again, and count as one that does more than wait until it has."""
        self.only_waits = False
        self.ring()

    def drop(self) -> None:
        """Its branch is given up: end without an answer that counts."""
        self._dropped = True
        self.ring()

    async def _live(self) -> Settled | Waiting:
        """One task run of the step."""
        call = Call(self._work)
        token = current.set(call)
        try:
            call_task: Any = self.compiled.tasks[self.active.step]
            state: State[Any] = await call_task(wait_for=self._parents(), return_state=True)
        finally:
            current.reset(token)
        self.task_run_id = state.state_details.task_run_id
        answer = call.answer if call.answer is not None else self._broken(call.error)
        if isinstance(answer, Waiting) and self.task_run_id is not None:
            await self._note(self.task_run_id)
        return answer

    async def _work(self) -> Settled | Waiting:
        run = StepRun(self.process.db, self.lease, self.situation, self.active)
        kind = KINDS[run.step.type]
        state = self.situation.results.get(self.active)
        # The bell hangs before the jobs exist: no end of theirs is missed.
        async with self.process.bells.listen(self.lease.instance_id, self._bell):
            try:
                answer = await (kind.begin(run) if state is None else kind.settle(run))
                if isinstance(answer, Waiting):
                    await self._remember(answer)
                    answer = await self._wait(run, answer)
            except commits.Dropped:
                return DROPPED
        return DROPPED if self._dropped else answer

    async def _wait(self, run: StepRun, waiting: Waiting) -> Settled | Waiting:
        """Wait in memory: jobs are usually quick, and others may run meanwhile.

        Looks again when rung, and unrung at growing intervals: a ring may be lost, or a cancel may
        have come before the bell hung.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self.process.settings.hot_seconds
        settle = KINDS[run.step.type].settle
        pause = _FIRST_LOOK_SECONDS
        if waiting.kind == "jobs":
            failpoint("worker.waiting_hot")
        while True:
            hot = waiting.kind == "jobs" and not waiting.cold and not self.process.draining.is_set()
            left = until - loop.time() if hot else 0.0
            self._tell(only_waits=left <= 0)
            unrung = min(pause, _until(waiting.wake_at))
            try:
                await asyncio.wait_for(self._bell.wait(), min(left, unrung) if left > 0 else unrung)
                if waiting.kind == "jobs":
                    failpoint("worker.woken")
            except TimeoutError:
                pause = min(2 * pause, _LAST_LOOK_SECONDS)
            self._bell.clear()
            # A parallel step looks before it leaves: a branch may just have ended, and nobody rings again.
            if self._dropped or (self.watch.leaving and waiting.kind != "branches"):
                return waiting
            if waiting.kind != "branches":
                self.watch.glance = await leases.glance(self.process.db, self.lease)
                self.looked = self.watch.glance.wake_seq
                if self.watch.glance.cancel_requested:
                    return waiting
            answer = await settle(run)
            if isinstance(answer, Settled) or self.watch.leaving:
                return answer
            waiting = answer

    def _tell(self, *, only_waits: bool) -> None:
        if only_waits and not self.only_waits:
            self.watch.changed.set()
        self.only_waits = only_waits

    def _broken(self, error: Exception | None) -> Settled:
        """The step's own code raised. Store trouble and a lost lease are not the step's failure;
        anything else is a mistake of ours that would only happen again: fail the step, say so."""
        if error is None or isinstance(error, (*STORE_AWAY, leases.LeaseLost)):
            raise error or RuntimeError(f"Prefect did not run the step {self.active.step}")
        log.error("a step broke", instance=self.lease.instance_id, step=self.active.step, exc_info=error)
        return failed(f"Opsgate itself failed here ({type(error).__name__}); the worker's log has more.")

    def _parents(self) -> list[State[int]]:
        """The task runs before this one, as edges of Prefect's graph, across segments and failures."""
        context = FlowRunContext.get()
        if context is None or context.flow_run is None:
            return []
        flow_run_id = context.flow_run.id
        return [
            Completed(data=0, state_details=StateDetails(task_run_id=parent, flow_run_id=flow_run_id))
            for parent in self.situation.parents(self.active)
        ]

    async def _remember(self, waiting: Waiting) -> None:
        """Keep what the step waits for, and, as the branches come after it, a parallel step's task run."""
        context = TaskRunContext.get()
        task_run_id = context.task_run.id if context is not None else None
        self.situation.results[self.active] = StepState(
            status="waiting",
            outcome=None,
            reason="",
            facts=None,
            wake_at=waiting.wake_at,
            task_run_id=task_run_id,
        )
        if waiting.kind == "branches" and task_run_id is not None:
            await self._note(task_run_id)

    async def _note(self, task_run_id: UUID) -> None:
        await commits.note_task_run(self.process.db, self.lease, self.active, task_run_id)
