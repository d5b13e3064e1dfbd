"""One segment of an instance: from its frontier to the next suspension, or to the end.

Every step of the frontier runs as a Prefect task. When all that is left is waiting, the instance
is parked: first in the store, then in Prefect. Nothing is kept in memory across segments.
"""

import asyncio
from dataclasses import replace
from typing import cast
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.exceptions import Abort
from prefect.states import Cancelled, Completed, Failed

from definitions import routing
from definitions.lifecycles.instance import InstanceStatus, StepStatus
from definitions.outputs import outputs_of
from definitions.routing import Active
from definitions.steps import ParallelStep
from flows import forms
from flows.away import STORE_AWAY
from flows.compile import CompiledWorkflow
from flows.members import Member, Watch
from flows.process import EngineProcess, log
from flows.suspend import NotSuspended, suspend
from store.engine import commits, leases, situation
from store.engine.leases import Lease
from store.engine.situation import Situation, StepState
from store.failpoints import failpoint
from tasks.step_run import Settled, StepRun, Waiting

STORE_PATIENCE_SECONDS = 120
_CALM_SECONDS = 5


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
    """The state of one segment: the situation as loaded, and who runs the steps of its frontier."""

    def __init__(
        self, process: EngineProcess, compiled: CompiledWorkflow, lease: Lease, situation: Situation
    ) -> None:
        self.process = process
        self.compiled = compiled
        self.lease = lease
        self.situation = situation
        self.watch = Watch()
        self.members: dict[Active, Member] = {}

    async def run(self) -> State[None]:
        """Step after step, branch beside branch, until the instance ends or only waits."""
        asked = {active for active, state in self.situation.results.items() if state.status == "waiting"}
        self.watch.glance = await leases.glance(self.process.db, self.lease)
        if any(active.visit > 1 for active in self.situation.frontier):
            failpoint("worker.resumed")
        try:
            while not self.watch.glance.cancel_requested:
                waits: dict[Active, Waiting] = {}
                seen: list[int] = []
                closed = False
                for member in await self._some_end():
                    answer = self._answer(member)
                    if isinstance(answer, Waiting):
                        waits[member.active] = answer
                        seen += [member.looked] if answer.kind != "branches" else []
                    elif (ended := await self._close(member.active, answer, member.task_run_id)) is not None:
                        await self._leave()
                        return ended
                    else:
                        closed = True
                # With what has just ended a parallel step may have joined that waited when it looked.
                if seen and not closed and waits.keys() == set(self.situation.frontier):
                    if still := [waits[active].sentence for active in asked & waits.keys()]:
                        log.info("resumed, but it still waits", instance=self.lease.instance_id, why=still)
                    await self._park(list(waits.values()), min(seen))
                    self.watch.glance = await leases.glance(self.process.db, self.lease)
            await self._leave()
            failpoint("worker.cancelling")
            reason = self.watch.glance.cancel_reason or "Cancelled."
            await commits.end_cancelled(self.process.db, self.lease, reason)
            failpoint("worker.ended")
            return final_state(InstanceStatus.CANCELLED)
        finally:
            await self._abandon()

    async def _some_end(self) -> list[Member]:
        """Run the frontier until some of it has ended; all of it, when all of it only waits."""
        self.watch.leaving = False
        while True:
            self.watch.changed.clear()
            for active in self.situation.frontier:
                if active not in self.members:
                    self.members[active] = Member(
                        self.process, self.compiled, self.lease, self.situation, self.watch, active
                    )
            if ended := [member for member in self.members.values() if member.task.done()]:
                return ended
            if self.watch.glance.cancel_requested:
                return []
            if all(member.only_waits for member in self.members.values()):
                await self._leave()
                return list(self.members.values())
            await self.watch.changed.wait()

    async def _leave(self) -> None:
        """Have every member that waits end its task, and see the others through."""
        self.watch.leaving = True
        for member in self.members.values():
            member.ring()
        if self.members:
            await asyncio.wait([member.task for member in self.members.values()])

    async def _abandon(self) -> None:
        """The segment broke off: nobody waits for what its members would say."""
        for member in self.members.values():
            member.task.cancel()
        await asyncio.gather(*(member.task for member in self.members.values()), return_exceptions=True)

    def _answer(self, member: Member) -> Settled | Waiting:
        """What a member that has ended says; raises what it raised."""
        del self.members[member.active]
        return member.task.result()

    async def _close(self, active: Active, answer: Settled, task_run_id: UUID | None) -> State[None] | None:
        """Commit a step's result and where it leads; returns the final state if that ended the instance."""
        situation = self.situation
        async with situation.moving:
            if active not in situation.frontier:
                return None  # its branch was given up
            run = StepRun(self.process.db, self.lease, situation, active)
            answer = replace(answer, reason=" ".join(filter(None, [answer.reason, *run.beginnings()])))
            advance = routing.advance(situation.workflow, situation.frontier, active, answer.outcome)
            cause, outputs = "", None
            if advance.ended is InstanceStatus.FAILED:
                cause = situation.cause_of_failure(active, answer.outcome, answer.reason)
            elif advance.ended is InstanceStatus.COMPLETED:
                outputs, amiss = outputs_of(situation.workflow, run.scope(answer.facts))
                cause = " ".join(f"Output `{name}`: {message}" for name, message in amiss.items())
            advance, self.watch.glance = await commits.close_step(
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
                outputs=outputs,
            )
            failpoint("worker.between_steps" if advance.ended is None else "worker.ended")
            situation.frontier = advance.frontier
            situation.results.pop(active, None)  # they stand in the order in which they ended
            situation.results[active] = StepState(
                answer.status,
                answer.outcome,
                answer.reason,
                answer.facts,
                None,
                task_run_id,
                advance.target,
            )
        for dropped in advance.dropped:
            if dropped in situation.results:
                situation.results[dropped].status = StepStatus.CANCELLED
            if dropped in self.members:
                self.members[dropped].drop()
        self._ring_parallels()
        return None if advance.ended is None else final_state(advance.ended)

    def _ring_parallels(self) -> None:
        """A branch may have ended: steps that wait for their branches look, before anybody parks."""
        for active, member in self.members.items():
            if isinstance(self.situation.workflow.step(active.step), ParallelStep):
                member.look()

    async def _park(self, waits: list[Waiting], seen_seq: int) -> None:
        """Park in the store, then suspend in Prefect; returns if something has happened meanwhile."""
        moments = [wait.wake_at for wait in waits if wait.wake_at is not None]
        waits = [wait for wait in waits if wait.kind != "branches"]
        kinds = [wait.kind for wait in waits]
        kind = cast(commits.ParkKind, "jobs" if "jobs" in kinds else kinds[0])
        number = await commits.park(
            self.process.db,
            self.lease,
            seen_seq,
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
