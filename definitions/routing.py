"""Where an instance goes next: the graph of a workflow, and the one function that walks it.

Pure; the engine stores the frontier and asks. One step is active at a time now; the frontier is
a tuple so that branches side by side fit the same shape.
"""

from dataclasses import dataclass
from enum import StrEnum

from definitions.errors import Conflict
from definitions.lifecycles.instance import InstanceStatus
from definitions.steps import ConditionStep, Step
from definitions.steps.step import CANCELLED, CONTINUE, END, FAIL
from definitions.workflow import Workflow


class Outcome(StrEnum):
    """How a step ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    TRUE = "true"
    FALSE = "false"
    CANCELLED = "cancelled"


ENDINGS = {
    END: InstanceStatus.COMPLETED,
    FAIL: InstanceStatus.FAILED,
    CANCELLED: InstanceStatus.CANCELLED,
}
"""The reserved targets that end an instance, and how."""


@dataclass(frozen=True)
class Active:
    """A step that is being run, or is to be run next, for the n-th time."""

    step: str
    visit: int


@dataclass(frozen=True)
class Advance:
    """What follows: a new frontier, or the end."""

    frontier: tuple[Active, ...]
    ended: InstanceStatus | None
    target: str
    """The step taken next, or `end`, `fail`, `cancelled`."""
    reason: str
    """One sentence for people."""


def declared_target(step: Step, outcome: Outcome) -> tuple[str, str]:
    """The field of the step that says where it goes after that outcome, and what it says."""
    if outcome is Outcome.CANCELLED:
        return "cancelled", CANCELLED
    if outcome is Outcome.FAILURE:
        return "on_failure", step.on_failure
    if isinstance(step, ConditionStep) and outcome is Outcome.TRUE:
        return "on_true", step.on_true
    if isinstance(step, ConditionStep) and outcome is Outcome.FALSE:
        return "on_false", step.on_false
    if not isinstance(step, ConditionStep) and outcome is Outcome.SUCCESS:
        return "on_success", step.on_success
    raise ValueError(f"a {step.type} step does not end with {outcome}")


def outcomes(step: Step) -> tuple[Outcome, ...]:
    """The ways a step of that kind may end by itself."""
    if isinstance(step, ConditionStep):
        return (Outcome.TRUE, Outcome.FALSE, Outcome.FAILURE)
    return (Outcome.SUCCESS, Outcome.FAILURE)


def follow(steps: tuple[Step, ...], index: int, target: str) -> str:
    """`continue` made explicit: the next of the list, and `end` after the last."""
    if target != CONTINUE:
        return target
    return steps[index + 1].id if index + 1 < len(steps) else END


def start(workflow: Workflow) -> Advance:
    """The frontier of a new instance: the first step."""
    first = workflow.steps[0]
    return Advance((Active(first.id, 1),), None, first.id, f"{first.id} is the first step.")


def advance(workflow: Workflow, frontier: tuple[Active, ...], active: Active, outcome: Outcome) -> Advance:
    """What follows when `active`, a member of the frontier, has ended so."""
    if active not in frontier:
        raise Conflict(f"Step {active.step} (visit {active.visit}) is not active.")
    step = workflow.step(active.step)
    _, declared = declared_target(step, outcome)
    target = follow(workflow.steps, workflow.position(step.id), declared)
    rest = tuple(other for other in frontier if other != active)
    if outcome is Outcome.CANCELLED:
        return Advance((), InstanceStatus.CANCELLED, target, f"{_ENDED[outcome]}.")
    if target in ENDINGS:
        return Advance((), ENDINGS[target], target, f"{_ENDED[outcome]}; the workflow {_ENDS[target]}.")
    following = Active(target, active.visit)
    return Advance((*rest, following), None, target, f"{_ENDED[outcome]}; next is {target}.")


_ENDED = {
    Outcome.SUCCESS: "Succeeded",
    Outcome.FAILURE: "Failed",
    Outcome.TRUE: "The condition is true",
    Outcome.FALSE: "The condition is false",
    Outcome.CANCELLED: "Cancelled",
}
_ENDS = {END: "ends", FAIL: "fails", CANCELLED: "is cancelled"}
