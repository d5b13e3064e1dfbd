"""Where an instance that failed or was stopped goes on: at what went wrong, all before it kept.

Pure. The path is walked as it was taken last. Of each step its newest visit counts, unless that is older
than the one of the step before it: then it lies on a path that an earlier resume has left.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from definitions.errors import Conflict
from definitions.lifecycles.instance import StepStatus
from definitions.routing import ENDINGS, Active, Outcome, declared_target, follow, outcomes
from definitions.steps import ConditionStep, ParallelStep, Step
from definitions.steps.step import END
from definitions.workflow import Workflow


@dataclass(frozen=True)
class Left:
    """The newest visit of a step, as the instance left it."""

    visit: int
    begun: int
    """The visit in which its branches began; another one when it was resumed since."""
    status: str
    outcome: str | None
    routed_to: str | None


@dataclass(frozen=True)
class Resumption:
    """How an instance goes on: what runs, in a visit that no step has had."""

    visit: int
    points: tuple[Step, ...]
    """What runs again, and the parallel steps around it."""
    begun: frozenset[str]
    """Those of them that are parallel steps and have begun: what of their branches is left goes on."""
    led_to: Mapping[str, str]
    """Where steps lead to that ended while the instance was being stopped, which took their route."""

    @property
    def frontier(self) -> tuple[Active, ...]:
        """The frontier it goes on with."""
        return tuple(Active(step.id, self.visit) for step in self.points)

    @property
    def again(self) -> tuple[str, ...]:
        """The steps that run again, as people name them."""
        return tuple(step.id for step in self.points if step.id not in self.begun)


def resume(workflow: Workflow, left: Mapping[str, Left]) -> Resumption:
    """Where the instance goes on; `Conflict` in words when there is nothing that would end otherwise.

    A list that failed goes on at the step that failed last, or, when that one only came after another's
    failure, at the first of them; one that was stopped at the step it had come to. Of a parallel step
    every branch that has not come to its end goes on so.
    """
    walk = _Walk(workflow, left)
    walk.through(workflow.steps, 0)
    if not walk.points:
        raise Conflict("Every step has ended well: there is nothing to go on with.")
    again = [step for step in walk.points if step.id not in walk.begun]
    if again and all(walk.decided(step) for step in again):
        names = ", ".join(step.id for step in again)
        raise Conflict(f"No step has failed: it ended by {names}, which would decide the same. Run it again.")
    newest = max((each.visit for each in left.values()), default=0)
    return Resumption(newest + 1, tuple(walk.points), frozenset(walk.begun), walk.led_to)


@dataclass
class _Walk:
    workflow: Workflow
    left: Mapping[str, Left]
    points: list[Step] = field(default_factory=list)
    begun: set[str] = field(default_factory=set)
    led_to: dict[str, str] = field(default_factory=dict)

    def through(self, steps: tuple[Step, ...], since: int) -> None:
        """Find where a list goes on that began in the visit `since`, unless it has come to its end."""
        taken, ending, visit = self._taken(steps, since)
        if ending == END:
            return
        step = taken[-1] if ending is None else self._first_failed(taken)
        self.points.append(step)
        if isinstance(step, ParallelStep) and (ending is not None or self._reached(step, visit)):
            self.begun.add(step.id)
            for branch in step.branches:
                self.through(branch.steps, self.left[step.id].begun)

    def decided(self, step: Step) -> bool:
        """Whether it is a condition that has decided: it would do so again, by the same values."""
        found = self.left.get(step.id)
        decided = found is not None and found.outcome in (Outcome.TRUE, Outcome.FALSE)
        return isinstance(step, ConditionStep) and decided

    def _taken(self, steps: tuple[Step, ...], visit: int) -> tuple[list[Step], str | None, int]:
        """The steps taken last, how the list ended (None: it was stopped at the last of them), and the
        visit before that one's."""
        taken, at = list[Step](), steps[0].id
        while True:
            step = self.workflow.step(at)
            taken.append(step)
            if not self._reached(step, visit):
                return taken, None, visit
            found = self.left[at]
            if found.outcome is None or found.status == StepStatus.CANCELLED:
                return taken, None, visit
            target = self._target(step, Outcome(found.outcome))
            if found.routed_to != target:
                self.led_to[at] = target
            if target in ENDINGS:
                return taken, target, visit
            at, visit = target, found.visit

    def _reached(self, step: Step, visit: int) -> bool:
        found = self.left.get(step.id)
        return found is not None and found.visit >= visit

    def _target(self, step: Step, outcome: Outcome) -> str:
        place = self.workflow.place(step.id)
        return follow(place.steps, place.index, declared_target(step, outcome)[1])

    def _first_failed(self, taken: list[Step]) -> Step:
        """The step at which a path went wrong; its last one if none has failed."""
        failed = [self.left[step.id].outcome == Outcome.FAILURE for step in taken]
        if not any(failed):
            return taken[-1]
        at = max(index for index, bad in enumerate(failed) if bad)
        while at > 0 and failed[at - 1] and self._minds_failure(taken[at - 1]):
            at -= 1
        return taken[at]

    def _minds_failure(self, step: Step) -> bool:
        """Whether its failure leads elsewhere than its success."""
        return len({self._target(step, outcome) for outcome in outcomes(step)}) > 1
