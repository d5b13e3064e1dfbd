"""All the engine must know of an instance to go on: loaded once, at the start of a segment.

A segment begins at the frontier, never at the top, so this is also what is left after a crash.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from definitions import routing
from definitions.routing import Active, Outcome
from definitions.variables import CheckoutFacts, StepFacts
from definitions.workflow import Workflow
from store.connection import Database
from store.engine.leases import Lease


@dataclass
class StepState:
    """One visit of one step as the store has it."""

    status: str
    outcome: str | None
    reason: str
    facts: StepFacts | None
    wake_at: datetime | None
    task_run_id: UUID | None
    routed_to: str | None = None
    """The step taken next, or how its branch or the instance ended; None while it runs."""


@dataclass
class Situation:
    """An instance as one segment sees it. The engine keeps `frontier` and `results` current itself."""

    instance_id: int
    workflow_id: int
    workflow_version: int
    workflow: Workflow
    inputs: dict[str, Any]
    host_ids: list[int]
    pinned_scripts: dict[int, int]
    pinned_libraries: dict[str, dict[str, int]]
    """By name: id and version."""
    started_by: int | None
    started_by_name: str
    frontier: tuple[Active, ...]
    results: dict[Active, StepState] = field(default_factory=dict)
    moving: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by who moves the frontier: a step that closes, or one that forks."""

    def routed(self) -> dict[str, str]:
        """Where the newest visit of each step that has ended led to."""
        ended = sorted(self.results.items(), key=lambda item: item[0].visit)
        return {active.step: state.routed_to for active, state in ended if state.routed_to is not None}

    def left(self, reader: str) -> list[tuple[str, StepFacts]]:
        """What every visit of a step has left that is no branch's beside the reader's, with the step, in the
        order in which they ended."""
        found = [(active.step, state.facts) for active, state in self.results.items() if state.facts]
        return [(step, facts) for step, facts in found if not self.workflow.beside(step, reader)]

    def checkouts(self, name: str, reader: str) -> list[tuple[str, CheckoutFacts]]:
        """What a step knows by that name, with the steps that have checked it out; the last is what it
        means, see `variables.identities_of`."""
        found = [(step, facts.checkout) for step, facts in self.left(reader) if facts.checkout is not None]
        return [(step, checkout) for step, checkout in found if name in checkout.names]

    def parents(self, active: Active) -> list[UUID]:
        """The task runs a step comes after, for the edges of Prefect's graph, across segments and failures:
        its own of an earlier segment, else that of the step that led to it (and, after branches, of the
        steps that ended them), or of the parallel step it begins a branch of."""
        own = self.results.get(active)
        if own is not None and own.task_run_id is not None:
            return [own.task_run_id]
        routed, found = self.routed(), list[str]()
        for step, target in routed.items():
            inside = self.workflow.place(step).branches
            if target == active.step or (
                target in routing.ENDINGS and inside and routed.get(inside[-1][0]) == active.step
            ):
                found.append(step)
        if not found:
            found = [parallel for parallel, _ in self.workflow.place(active.step).branches[-1:]]
        newest = self._newest_task_runs()
        before = [newest[step] for step in found if step in newest]
        if active.step in newest and not any(visit == active.visit for visit, _ in before):
            before = [newest[active.step]]  # it was resumed here: after what it did in its visit before
        return [task_run_id for _, task_run_id in before]

    def _newest_task_runs(self) -> dict[str, tuple[int, UUID]]:
        """The task run of each step's newest visit that has one, with that visit."""
        found: dict[str, tuple[int, UUID]] = {}
        for active, state in sorted(self.results.items(), key=lambda item: item[0].visit):
            if state.task_run_id is not None:
                found[active.step] = (active.visit, state.task_run_id)
        return found

    def cause_of_failure(self, active: Active, outcome: Outcome, reason: str) -> str:
        """Why the instance fails, now that it does so with this step: the step that failed first on the
        path since it began or was resumed, and this one if it has failed as well; empty if none has. What
        failed in a branch that was done without led to nothing."""
        routed, ended = self.routed(), {each.step: state.outcome for each, state in self.results.items()}
        ended[active.step] = outcome
        well = {step for step, how in ended.items() if how == Outcome.SUCCESS}
        failures = [
            self._sentence(earlier, state.reason)
            for earlier, state in self.results.items()
            if state.outcome == Outcome.FAILURE
            and earlier != active
            and earlier.visit == active.visit
            and not routing.made_up_for(self.workflow, earlier.step, routed, well)
        ][:1]
        if outcome is Outcome.FAILURE:
            failures.append(self._sentence(active, reason))
        return " Then ".join(failures)

    def _sentence(self, active: Active, reason: str) -> str:
        """A stored reason ends with where it led to, which is not why."""
        led_to = routing.advance(self.workflow, (active,), active, Outcome.FAILURE).reason
        why = reason.removesuffix(led_to).rstrip() or "Failed."
        return f"{active.step}: {why}"


_INSTANCE = """
SELECT workflow_id, workflow_version, inputs, host_ids, pinned_scripts, pinned_libraries, started_by,
       started_by_name, frontier
FROM instances WHERE id = $1
"""

_RESULTS = """
SELECT step_id, visit, status, outcome, reason, facts, wake_at, task_run_id, routed_to
FROM step_results WHERE instance_id = $1 ORDER BY coalesce(ended_at, 'infinity'), id
"""


async def load(db: Database, lease: Lease, workflow: Workflow) -> Situation:
    """Read the instance and every step result. `workflow`: the version it pinned, parsed already."""
    async with db.connection() as tx:
        row = await tx.fetchrow(_INSTANCE, lease.instance_id)
        if row is None:
            raise RuntimeError(f"instance {lease.instance_id} is leased but does not exist")
        results = await tx.fetch(_RESULTS, lease.instance_id)
    situation = Situation(
        instance_id=lease.instance_id,
        workflow_id=row["workflow_id"],
        workflow_version=row["workflow_version"],
        workflow=workflow,
        inputs=row["inputs"],
        host_ids=list(row["host_ids"]),
        pinned_scripts={int(key): version for key, version in row["pinned_scripts"].items()},
        pinned_libraries=row["pinned_libraries"],
        started_by=row["started_by"],
        started_by_name=row["started_by_name"],
        frontier=tuple(Active(entry["step"], entry["visit"]) for entry in row["frontier"]),
    )
    for result in results:
        state = StepState(
            status=result["status"],
            outcome=result["outcome"],
            reason=result["reason"],
            facts=StepFacts.model_validate(result["facts"]) if result["facts"] is not None else None,
            wake_at=result["wake_at"],
            task_run_id=result["task_run_id"],
            routed_to=result["routed_to"],
        )
        situation.results[Active(result["step_id"], result["visit"])] = state
    return situation
