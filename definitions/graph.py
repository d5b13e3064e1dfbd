"""The graph of a list of steps: edges, cycles, what is reached, what has run before what.

Branches are lists of their own, and what ran in them for certain has run when they have joined.
Linear in steps and edges, but for the sets of steps, which are one whole number each. In such a set
stand steps that ran, by their ids, and identities that were checked out, by `checked_out(name)`. What may
have been checked in again is a set of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import and_, or_

from definitions.routing import declared_target, follow, outcomes
from definitions.step_documents import walk
from definitions.steps import PamCheckinStep, PamCheckoutStep, ParallelStep, Step
from definitions.steps.step import END, FAIL, TARGET_WORDS


@dataclass(frozen=True)
class Edge:
    """One way from a step: the field that says it, and where it goes."""

    field: str
    declared: str
    target: str


EVERYTHING = -1
"""The set of all steps: all bits of it are one."""


@dataclass
class Certain:
    """The steps of the whole workflow that ran on every path, each set as the bits of a whole number."""

    before: list[int]
    """Before each step of the list."""
    at_end: int
    at_fail: int


@dataclass
class CheckedIn:
    """The identities that some path may have checked in, and not out again since, as bits."""

    before: list[int]
    """Before each step of the list."""
    at_end: int = 0
    at_fail: int = 0
    anywhere: int = 0
    """After any of its steps."""


class Graph:
    """The edges of a list of steps; the first is the entry."""

    def __init__(self, steps: tuple[Step, ...], names: "_Names | None" = None) -> None:
        self.steps = steps
        self.index = {step.id: index for index, step in enumerate(steps)}
        self.edges = [list(_edges(steps, index)) for index in range(len(steps))]
        self._names = names or _names(steps)
        self.inner = {
            index: [Graph(branch.steps, self._names) for branch in step.branches]
            for index, step in enumerate(steps)
            if isinstance(step, ParallelStep)
        }
        """The graphs of the branches, by their step."""

    def following(self, index: int) -> list[int]:
        """The steps that may come right after one."""
        return [self.index[edge.target] for edge in self.edges[index] if edge.target in self.index]

    def unknown_targets(self) -> Iterator[tuple[int, Edge]]:
        """Edges that lead to nothing there is."""
        for index, edges in enumerate(self.edges):
            for edge in edges:
                if edge.target not in self.index and edge.target not in TARGET_WORDS:
                    yield index, edge

    @cached_property
    def walked(self) -> tuple[list[int], list[tuple[int, ...]]]:
        """The steps that are reached, each before those that follow it, and one path for each cycle."""
        finished: list[int] = []
        cycles: list[tuple[int, ...]] = []
        path = [0]
        on_path = {0: 0}
        seen = {0}
        waiting = [iter(self.following(0))]
        while path:
            following = next(waiting[-1], None)
            if following is None:
                waiting.pop()
                finished.append(path.pop())
                del on_path[finished[-1]]
            elif following in on_path:
                cycles.append((*path[on_path[following] :], following))
            elif following not in seen:
                seen.add(following)
                on_path[following] = len(path)
                path.append(following)
                waiting.append(iter(self.following(following)))
        return finished[::-1], cycles

    @cached_property
    def certain(self) -> Certain:
        """What ran on every path; everything, where no path leads or the graph has a cycle."""
        order, cycles = self.walked
        certain = Certain([EVERYTHING] * len(self.steps), EVERYTHING, EVERYTHING)
        if cycles:
            return certain
        certain.before[0] = 0
        for index in order:
            for edge in self.edges[index]:
                after = certain.before[index] | self.adds(index, edge)
                if edge.target in self.index:
                    certain.before[self.index[edge.target]] &= after
                elif edge.target == END:
                    certain.at_end &= after
                elif edge.target == FAIL:
                    certain.at_fail &= after
        return certain

    @cached_property
    def checked_in(self) -> CheckedIn:
        """What may have been checked in on the way, by the list's own steps; nothing if it has a cycle."""
        order, cycles = self.walked
        found = CheckedIn([0] * len(self.steps))
        for index in () if cycles or not self._names.opened else order:
            for edge in self.edges[index]:
                after = (found.before[index] & ~self.adds(index, edge)) | self._checks_in(index, edge)
                found.anywhere |= after
                if edge.target in self.index:
                    found.before[self.index[edge.target]] |= after
                elif edge.target == END:
                    found.at_end |= after
                else:
                    found.at_fail |= after
        return found

    def _checks_in(self, index: int, edge: Edge) -> int:
        step = self.steps[index]
        if isinstance(step, ParallelStep):
            branches = [graph.checked_in for graph in self.inner[index]]
            succeeded = edge.field == "on_success"
            if step.join == "all" and succeeded:
                return reduce(or_, [branch.at_end for branch in branches])
            if succeeded or step.timeout_minutes is not None:  # some were given up on their way
                return reduce(or_, [branch.anywhere for branch in branches])
            return reduce(or_, [branch.at_end | branch.at_fail for branch in branches])
        return self.ends(step) if isinstance(step, PamCheckinStep) else 0

    def ends(self, step: PamCheckinStep) -> int:
        """The identities that a check-in ends: those of the checkouts it names, or all."""
        opened = self._names.opened
        return reduce(or_, [opened.get(each, 0) for each in step.checkout or opened], 0)

    def bit(self, name: str) -> int:
        """The set of that one step or identity."""
        return 1 << self._names.numbers[name]

    def numbered(self, name: str) -> bool:
        """Whether the workflow has such a step or identity."""
        return name in self._names.numbers

    @cached_property
    def holds(self) -> int:
        """Everything that may run in the list and its branches."""
        held = 0
        for index, edges in enumerate(self.edges):
            held |= reduce(or_, [graph.holds for graph in self.inner.get(index, ())], 0)
            held |= reduce(or_, [self._own(index, edge) for edge in edges])
        return held

    @cached_property
    def possible(self) -> dict[str, int]:
        """What may have run in the list before each step of it."""
        found = dict.fromkeys(self.index, 0)
        for index in self.walked[0]:
            step_id = self.steps[index].id
            inside = reduce(or_, [graph.holds for graph in self.inner.get(index, ())], 0)
            for edge in self.edges[index]:
                if edge.target in found:
                    found[edge.target] |= found[step_id] | self._own(index, edge) | inside
        return found

    @cached_property
    def entering(self) -> dict[str, list[tuple[int, Edge]]]:
        """The edges that lead to each step, and to `end` and `fail`, with the step they come from."""
        found: dict[str, list[tuple[int, Edge]]] = {}
        for index, edges in enumerate(self.edges):
            for edge in edges:
                found.setdefault(edge.target, []).append((index, edge))
        return found

    def adds(self, index: int, edge: Edge) -> int:
        """What has run for certain once a step is left by that edge, beyond what had before it."""
        step = self.steps[index]
        if not isinstance(step, ParallelStep):
            return self._own(index, edge)
        return self.bit(step.id) | self._joined(step, [graph.certain for graph in self.inner[index]], edge)

    def _own(self, index: int, edge: Edge) -> int:
        """The step itself, and the identity it has checked out."""
        step = self.steps[index]
        added = self.bit(step.id)
        if isinstance(step, PamCheckoutStep) and edge.field == "on_success":
            for name in names_of(step):
                added |= self.bit(checked_out(name))
        return added

    @staticmethod
    def _joined(step: ParallelStep, branches: list[Certain], edge: Edge) -> int:
        """What ran in the branches of a step that is left by this edge; see `routing.joined`."""
        succeeded = edge.field == "on_success"
        if step.timeout_minutes is not None and not succeeded:
            return 0  # its deadline may come before the branches have done a thing
        if step.join == "any" and succeeded:
            return reduce(and_, [branch.at_end for branch in branches])
        if step.join == "any":
            return reduce(or_, [branch.at_fail for branch in branches])
        if succeeded:
            return reduce(or_, [branch.at_end for branch in branches])
        failing = [branch for branch in branches if branch.at_fail != EVERYTHING]
        return reduce(or_, [branch.at_fail & _at_end_beside(branch, failing) for branch in branches])


def _at_end_beside(branch: Certain, failing: list[Certain]) -> int:
    """What ran in a branch that ended well although the step failed: another one has to have failed."""
    return branch.at_end if any(other is not branch for other in failing) else EVERYTHING


def checked_out(name: str) -> str:
    """What stands in a set for an identity; no step has such an id."""
    return f"={name}"


def names_of(step: PamCheckoutStep) -> list[str]:
    """What references call the identity that a step checks out."""
    return [name for name in (step.variable_name, step.identity) if isinstance(name, str)]


@dataclass(frozen=True)
class _Names:
    """What can stand in a set, of the whole workflow."""

    numbers: dict[str, int]
    opened: dict[str, int]
    """By checkout step: the identity it opens, under both its names, as bits."""


def _names(steps: tuple[Step, ...]) -> _Names:
    found: dict[str, None] = {}
    opened: dict[str, list[str]] = {}
    for step, _ in walk(steps, ""):
        found[step.id] = None
        if isinstance(step, PamCheckoutStep):
            opened[step.id] = [checked_out(name) for name in names_of(step)]
            found |= dict.fromkeys(opened[step.id])
    numbers = {name: number for number, name in enumerate(found)}
    bits = {
        step_id: reduce(or_, [1 << numbers[name] for name in names], 0) for step_id, names in opened.items()
    }
    return _Names(numbers, bits)


def _edges(steps: tuple[Step, ...], index: int) -> Iterator[Edge]:
    step = steps[index]
    for outcome in outcomes(step):
        field, declared = declared_target(step, outcome)
        yield Edge(field, declared, follow(steps, index, declared))
