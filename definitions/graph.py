"""The graph of a list of steps: edges, cycles, what is reached, what has run before what.

Branches are lists of their own, and what ran in them for certain has run when they have joined.
Linear in steps and edges, but for the sets of steps, which are one whole number each. In such a set
stand steps that ran, by their ids, identities that were checked out, by `checked_out(name)`, and checkouts
that were ended, by `checked_in(step_id)`. What of the latter two may have been undone is a set of its own.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import and_, or_

from definitions.routing import declared_target, follow, outcomes
from definitions.step_documents import walk
from definitions.steps import PamCheckinStep, PamCheckoutStep, ParallelStep, Step
from definitions.steps.step import CANCELLED, END, FAIL, TARGET_WORDS


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
class Undone:
    """What some path may have undone, as bits: `checked_out(name)`, the identity was checked in and not out
    again since; `checked_in(step_id)`, the checkout was opened and not ended since."""

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
    def reached(self) -> frozenset[int]:
        """The steps that some path leads to; every one that an edge does, where paths can't be told."""
        order, cycles = self.walked
        if cycles or any(graph._unsure for graphs in self.inner.values() for graph in graphs):
            return frozenset(order)
        return frozenset(index for index in order if self.certain.before[index] != EVERYTHING)

    @cached_property
    def _unsure(self) -> bool:
        """Whether a circle, or a target there is not, leaves open how the list ends."""
        inside = (graph._unsure for graphs in self.inner.values() for graph in graphs)
        return bool(self.walked[1]) or any(self.unknown_targets()) or any(inside)

    @cached_property
    def undone(self) -> Undone:
        """What may have been undone on the way, by the list's own steps; nothing if it has a cycle."""
        order, cycles = self.walked
        found = Undone([0] * len(self.steps))
        for index in () if cycles or not self._names.opened else order:
            for edge in self.edges[index]:
                if not self.goes_on(index, edge):
                    continue
                after = (found.before[index] & ~self.adds(index, edge)) | self.undoes(index, edge)
                found.anywhere |= after
                if edge.target in self.index:
                    found.before[self.index[edge.target]] |= after
                elif edge.target == END:
                    found.at_end |= after
                elif edge.target == FAIL:
                    found.at_fail |= after
        return found

    def goes_on(self, index: int, edge: Edge) -> bool:
        """Whether some path leaves a step by that edge, and the instance does not end by it as cancelled."""
        before = self.certain.before[index]
        return edge.target != CANCELLED and before | self.adds(index, edge) != EVERYTHING

    def undoes(self, index: int, edge: Edge) -> int:
        """What a step that is left by that edge may have undone itself."""
        step = self.steps[index]
        if isinstance(step, ParallelStep):
            branches = [graph.undone for graph in self.inner[index]]
            succeeded = edge.field == "on_success"
            if step.join == "all" and succeeded:
                return reduce(or_, [branch.at_end for branch in branches])
            if succeeded or step.timeout_minutes is not None:  # some were given up on their way
                return reduce(or_, [branch.anywhere for branch in branches])
            return reduce(or_, [branch.at_end | branch.at_fail for branch in branches])
        if isinstance(step, PamCheckoutStep) and edge.field == "on_success":
            return self.bit(checked_in(step.id))
        return self.ends(step) if isinstance(step, PamCheckinStep) else 0

    def ends(self, step: PamCheckinStep) -> int:
        """The identities that a check-in ends: those of the checkouts it names, or all."""
        return self._names.closed[step.id].names

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
        """The step itself, the identity it has checked out, and the checkouts it has ended."""
        step = self.steps[index]
        added = self.bit(step.id)
        if isinstance(step, PamCheckinStep):
            added |= self._names.closed[step.id].checkouts
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


def checked_in(step_id: str) -> str:
    """What stands in a set for the checkout of a step; no step has such an id."""
    return f"!{step_id}"


def names_of(step: PamCheckoutStep) -> list[str]:
    """What references call the identity that a step checks out."""
    return [name for name in (step.variable_name, step.identity) if isinstance(name, str)]


@dataclass(frozen=True)
class _Closed:
    """What a check-in ends, as bits."""

    names: int
    """The identities, under both their names."""
    checkouts: int


@dataclass(frozen=True)
class _Names:
    """What can stand in a set, of the whole workflow."""

    numbers: dict[str, int]
    opened: frozenset[str]
    """The checkout steps."""
    closed: dict[str, _Closed]
    """By check-in step."""


def _names(steps: tuple[Step, ...]) -> _Names:
    found: dict[str, None] = {}
    opened: dict[str, list[str]] = {}
    closing: list[PamCheckinStep] = []
    for step, _ in walk(steps, ""):
        found[step.id] = None
        if isinstance(step, PamCheckoutStep):
            opened[step.id] = [checked_out(name) for name in names_of(step)]
            found |= dict.fromkeys([*opened[step.id], checked_in(step.id)])
        elif isinstance(step, PamCheckinStep):
            closing.append(step)
    numbers = {name: number for number, name in enumerate(found)}

    def closed(checkouts: Iterable[str]) -> _Closed:
        known = [each for each in checkouts if each in opened]
        names = reduce(or_, [1 << numbers[name] for each in known for name in opened[each]], 0)
        return _Closed(names, reduce(or_, [1 << numbers[checked_in(each)] for each in known], 0))

    everything = closed(opened)
    ends = {step.id: closed(step.checkout) if step.checkout else everything for step in closing}
    return _Names(numbers, frozenset(opened), ends)


def _edges(steps: tuple[Step, ...], index: int) -> Iterator[Edge]:
    step = steps[index]
    for outcome in outcomes(step):
        field, declared = declared_target(step, outcome)
        yield Edge(field, declared, follow(steps, index, declared))
