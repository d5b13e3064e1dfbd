"""One visit of one step as its task sees it, and what the task may answer."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from definitions.lifecycles.instance import StepStatus
from definitions.routing import Active, Outcome
from definitions.steps import ApprovalStep, ConditionStep, Step
from definitions.storable import storable, storable_value
from definitions.templates import templates_of
from definitions.variables import Scope, StepFacts, beginnings, identities_of, scope
from store.connection import Database
from store.engine.commits import ParkKind, StepRow
from store.engine.leases import Lease
from store.engine.situation import Situation


@dataclass(frozen=True)
class Settled:
    """The step is over."""

    outcome: Outcome
    status: StepStatus
    reason: str = ""
    facts: StepFacts | None = None
    input: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Waiting:
    """The step waits: for its jobs, for people, for a moment, or for its branches."""

    kind: ParkKind | Literal["branches"]
    sentence: str
    """What it waits for, for the page and for Prefect's form."""
    wake_at: datetime | None = None
    """When it is to look again though nothing has happened. Not at a gate's deadline: the request is decided
    then, which wakes it."""
    request_id: int | None = None
    """With a gate: the approval request."""
    cold: bool = False
    """With jobs: none of them begins for a while, so nobody need wait in memory."""


@dataclass(frozen=True)
class StepRun:
    """What a task works with: the step, the instance as loaded, the lease to commit under."""

    db: Database
    lease: Lease
    situation: Situation
    active: Active

    @property
    def step(self) -> Step:
        """The step's definition, from the version the instance pinned."""
        return self.situation.workflow.step(self.active.step)

    def row(self, input: dict[str, Any], title: str = "") -> StepRow:
        """The step's row with its input as sent; `title` names a step that has no name of its own.
        Both may hold what a job printed."""
        step = self.step
        limit = None if isinstance(step, ApprovalStep) else step.limit  # a gate's request has its own
        sent = {storable(key): storable_value(value) for key, value in input.items()}
        return StepRow(self.active, step.type, storable(step.name or title or step.id), sent, limit)

    def scope(self, ended: StepFacts | None = None) -> Scope:
        """Everything the step's templates may refer to, from the newest visit of each step. `ended`: what
        the step itself has left, for what comes after it."""
        results: dict[str, StepFacts | None] = {}
        for active, state in self.situation.results.items():
            if state.status not in ("waiting", "running"):
                results[active.step] = state.facts
        if ended is not None:
            results[self.active.step] = ended
        return scope(
            inputs=self.situation.inputs,
            instance={"id": self.situation.instance_id, "started_by": self.situation.started_by_name},
            results=results,
            identities=identities_of([*(facts for _, facts in self.situation.left(self.active.step)), ended]),
        )

    def beginnings(self) -> list[str]:
        """A sentence for each output that the step was given only the beginning of. A condition is given
        none: it fails."""
        if isinstance(self.step, ConditionStep):
            return []
        return beginnings((text for text, _ in templates_of(self.step)), self.scope())


def failed(reason: str, input: dict[str, Any] | None = None, facts: StepFacts | None = None) -> Settled:
    """The step failed for this reason."""
    return Settled(Outcome.FAILURE, StepStatus.FAILED, reason, facts, input or {})


def completed(
    reason: str = "", input: dict[str, Any] | None = None, facts: StepFacts | None = None
) -> Settled:
    """The step did what it should."""
    return Settled(Outcome.SUCCESS, StepStatus.COMPLETED, reason, facts, input or {})
