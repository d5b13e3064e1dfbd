"""Where an instance goes next: the graph of a workflow, and the one function that walks it.

Pure; the engine stores the frontier and asks. The frontier is every step that is being run. A parallel
step stays in it while its branches run, each as a list of its own, and is over when they have joined.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum

from definitions.errors import Conflict
from definitions.lifecycles.instance import InstanceStatus
from definitions.steps import Branch, ConditionStep, ParallelStep, Step
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
    """The step taken next, or `end`, `fail`, `cancelled`: of the instance, or of the step's branch."""
    reason: str
    """One sentence for people."""
    dropped: tuple[Active, ...] = ()
    """What is given up, still running: the other branches of a parallel step that has joined."""


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
    place = workflow.place(active.step)
    _, declared = declared_target(place.steps[place.index], outcome)
    target = follow(place.steps, place.index, declared)
    how = _ENDED[outcome]
    if outcome is Outcome.CANCELLED:
        return Advance((), InstanceStatus.CANCELLED, target, f"{how}.")
    if target in ENDINGS and (target == CANCELLED or not place.branches):
        return Advance((), ENDINGS[target], target, f"{how}; the workflow {_ENDS[target]}.")
    dropped = tuple(other for other in frontier if _inside(workflow, other.step, active.step))
    rest = tuple(other for other in frontier if other != active and other not in dropped)
    if target in ENDINGS:
        return Advance(rest, None, target, f"{how}; the branch {_ENDS[target]}.", dropped)
    return Advance((*rest, Active(target, active.visit)), None, target, f"{how}; next is {target}.", dropped)


def fork(workflow: Workflow, frontier: tuple[Active, ...], active: Active) -> tuple[Active, ...]:
    """The frontier once a parallel step of it has begun: the first step of every branch beside it."""
    step = workflow.step(active.step)
    if not isinstance(step, ParallelStep):
        raise ValueError(f"a {step.type} step has no branches")
    return (*frontier, *(Active(branch.steps[0].id, active.visit) for branch in step.branches))


def joined(
    workflow: Workflow, frontier: tuple[Active, ...], step_id: str, routed: Mapping[str, str]
) -> Outcome | None:
    """How a parallel step has ended, or None while it waits for its branches.

    `routed`: where the newest visit of each step that ended led to. `all` waits for every branch and
    succeeds if each reached its end; `any` succeeds with the first that does, and fails if none did.
    """
    step = workflow.step(step_id)
    if not isinstance(step, ParallelStep):
        raise ValueError(f"a {step.type} step has no branches")
    endings = list(_endings(workflow, frontier, step, routed))
    if step.join == "any" and END in endings:
        return Outcome.SUCCESS
    if None in endings:
        return None
    return Outcome.SUCCESS if step.join == "all" and FAIL not in endings else Outcome.FAILURE


def made_up_for(
    workflow: Workflow, step_id: str, routed: Mapping[str, str], joined_well: AbstractSet[str]
) -> bool:
    """Whether what failed in a step went no further than a branch: the branch came to its end all the same,
    or the parallel step around it did without the branch.

    `routed`: as for `joined`, with every parallel step around the step over. `joined_well`: the parallel
    steps that succeeded, or more steps.
    """
    for parallel, number in workflow.place(step_id).branches:
        around = workflow.step(parallel)
        assert isinstance(around, ParallelStep)
        if parallel in joined_well or _ending(around.branches[number], routed) == END:
            return True
    return False


def how_joined(step: ParallelStep, outcome: Outcome) -> str:
    """A sentence on how its branches have joined."""
    if outcome is Outcome.SUCCESS:
        return "Its branches have joined."
    return f"{'No branch' if step.join == 'any' else 'Not every branch'} came to its end."


def _endings(
    workflow: Workflow, frontier: tuple[Active, ...], step: ParallelStep, routed: Mapping[str, str]
) -> Iterator[str | None]:
    """How each branch has ended: `end`, `fail`, or None while a step of it runs."""
    lively = {place for active in frontier for place in workflow.place(active.step).branches}
    for number, branch in enumerate(step.branches):
        yield None if (step.id, number) in lively else _ending(branch, routed)


def _ending(branch: Branch, routed: Mapping[str, str]) -> str | None:
    """Along the path taken last: a step off it may have ended the branch in an earlier visit. None if the
    branch was given up on the way."""
    target = routed.get(branch.steps[0].id)
    while target is not None and target not in ENDINGS:
        target = routed.get(target)
    return target


def _inside(workflow: Workflow, step_id: str, parallel_id: str) -> bool:
    return any(parallel == parallel_id for parallel, _ in workflow.place(step_id).branches)


_ENDED = {
    Outcome.SUCCESS: "Succeeded",
    Outcome.FAILURE: "Failed",
    Outcome.TRUE: "The condition is true",
    Outcome.FALSE: "The condition is false",
    Outcome.CANCELLED: "Cancelled",
}
_ENDS = {END: "ends", FAIL: "fails", CANCELLED: "is cancelled"}
