"""Where an instance that failed or was stopped goes on: at what went wrong, and nothing that went well again.

Pure. The path is walked as it was taken last. Of each step its newest visit counts, unless that is older
than the one of the step before it: then it lies on a path that an earlier resume has left.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from definitions.errors import Conflict
from definitions.lifecycles.instance import StepStatus
from definitions.routing import ENDINGS, Active, Outcome, declared_target, follow, outcomes
from definitions.steps import DelayStep, ParallelStep, Step
from definitions.steps.step import CANCELLED, END, FAIL
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
    path: frozenset[str] = frozenset()
    """The steps on the path taken last, of branches too."""

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
    every branch that has not come to its end goes on so. A list that ended by a decision, not by a failure,
    would end the same, and with it a parallel step that failed for want of it.
    """
    walk = _Walk(workflow, left)
    try:
        points = walk.through(workflow.steps, 0)
    except _Decided as decided:
        names = ", ".join(decided.steps)
        raise Conflict(
            f"No failure ended it: it ended by {names}, which would decide the same. Run it again."
        ) from None
    if not points:
        raise Conflict("Every step has ended well: there is nothing to go on with.")
    newest = max((each.visit for each in left.values()), default=0)
    begun = walk.begun.intersection(step.id for step in points)
    path = frozenset(_Walk(workflow, left).path(workflow.steps, 0))
    return Resumption(newest + 1, tuple(points), frozenset(begun), walk.led_to, path)


class _Decided(Exception):
    """A list has ended by what these steps decided, and would do so again."""

    def __init__(self, steps: list[str], ending: str) -> None:
        self.steps, self.ending = steps, ending


@dataclass
class _Walk:
    workflow: Workflow
    left: Mapping[str, Left]
    begun: set[str] = field(default_factory=set)
    led_to: dict[str, str] = field(default_factory=dict)

    def through(self, steps: tuple[Step, ...], since: int) -> list[Step]:
        """Where a list goes on that began in the visit `since`, with the parallel steps around that; nowhere
        if it has come to its end. Raises `_Decided`."""
        taken, ending, visit = self._taken(steps, since)
        if ending == END:
            return []
        step = taken[-1] if ending is None else self._went_wrong(taken)
        if step is None:
            raise _Decided([taken[-1].id], str(ending))
        if not isinstance(step, ParallelStep) or (ending is None and not self._reached(step, visit)):
            return [step]
        self.begun.add(step.id)
        return [step, *self._inside(step, failed=ending is not None)]

    def path(self, steps: tuple[Step, ...], since: int) -> Iterator[str]:
        """The steps of a list that began in the visit `since` as they were taken, and those of branches."""
        taken, _, visit = self._taken(steps, since)
        for step in taken:
            yield step.id
            if isinstance(step, ParallelStep) and (step is not taken[-1] or self._reached(step, visit)):
                for branch in step.branches:
                    yield from self.path(branch.steps, self.left[step.id].begun)

    def _inside(self, parallel: ParallelStep, *, failed: bool) -> list[Step]:
        """Where its branches go on. One that has failed by a decision stays so: if the step has `failed` too,
        it goes on only when another branch is enough."""
        points, decided = list[Step](), list[str]()
        for branch in parallel.branches:
            try:
                points += self.through(branch.steps, self.left[parallel.id].begun)
            except _Decided as found:
                if found.ending == CANCELLED:
                    raise
                decided += found.steps
        if failed and decided and (parallel.join == "all" or not points):
            raise _Decided(decided, FAIL)
        return points

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

    def _went_wrong(self, taken: list[Step]) -> Step | None:
        """The step at which a path went wrong; None when all its failures are past, or it has none."""
        wrong = [
            self.left[step.id].outcome == Outcome.FAILURE and not self._is_past(step, taken[index + 1 :])
            for index, step in enumerate(taken)
        ]
        if not any(wrong):
            return None
        at = max(index for index, bad in enumerate(wrong) if bad)
        while at > 0 and wrong[at - 1] and self._minds_failure(taken[at - 1]):
            at -= 1
        return taken[at]

    def _is_past(self, step: Step, after: list[Step]) -> bool:
        """Whether the path came back to where the step's success leads, and something went well on the way or
        there: that mended the failure, or would be done again if one went back to it."""
        well = any(self._went_well(each) for each in after)
        return well and not self._success_path(step).isdisjoint(each.id for each in after)

    def _went_well(self, step: Step) -> bool:
        """Whether it has done something that is not to be done again; of a parallel step that failed, whether
        a step of its branches has."""
        found = self.left.get(step.id)
        if isinstance(step, ParallelStep) and found is not None and found.outcome != Outcome.SUCCESS:
            return any(self._went_well(inner) for branch in step.branches for inner in branch.steps)
        return found is not None and found.outcome == Outcome.SUCCESS and not isinstance(step, DelayStep)

    def _success_path(self, step: Step) -> set[str]:
        """All that may come after it while every step succeeds, whatever conditions decide."""
        ahead, coming = set[str](), [step]
        while coming:
            targets = self._targets(coming.pop()) - ENDINGS.keys() - ahead
            ahead |= targets
            coming += [self.workflow.step(target) for target in targets]
        return ahead

    def _targets(self, step: Step) -> set[str]:
        return {self._target(step, outcome) for outcome in outcomes(step) if outcome != Outcome.FAILURE}

    def _minds_failure(self, step: Step) -> bool:
        """Whether its failure leads elsewhere than its success."""
        return self._targets(step) != {self._target(step, Outcome.FAILURE)}
