"""The graph of a list of steps: edges, cycles, what is reached, what has run before what.

Linear in steps and edges, but for the sets of steps, which are one whole number each.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from definitions.routing import declared_target, follow, outcomes
from definitions.steps import Step
from definitions.steps.step import END, TARGET_WORDS


@dataclass(frozen=True)
class Edge:
    """One way from a step: the field that says it, and where it goes."""

    field: str
    declared: str
    target: str


class Graph:
    """The edges of a list of steps; the first is the entry."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.steps = steps
        self.index = {step.id: index for index, step in enumerate(steps)}
        self.edges = [list(_edges(steps, index)) for index in range(len(steps))]

    def following(self, index: int) -> list[int]:
        """The steps that may come right after one."""
        return [self.index[edge.target] for edge in self.edges[index] if edge.target in self.index]

    def unknown_targets(self) -> Iterator[tuple[int, Edge]]:
        """Edges that lead to nothing there is."""
        for index, edges in enumerate(self.edges):
            for edge in edges:
                if edge.target not in self.index and edge.target not in TARGET_WORDS:
                    yield index, edge

    def search(self) -> tuple[list[int], list[tuple[int, ...]]]:
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

    def certain(self, order: list[int]) -> tuple[list[int], int]:
        """For every step, and for `end`, the set of steps that ran on every path to it, as bits.

        `order` is `search`'s, of a graph without cycles. A step that is never reached has them all.
        """
        everything = (1 << len(self.steps)) - 1
        before = [everything] * len(self.steps)
        at_end = everything
        if order:
            before[0] = 0
        for index in order:
            after = before[index] | 1 << index
            for edge in self.edges[index]:
                if edge.target in self.index:
                    before[self.index[edge.target]] &= after
                elif edge.target == END:
                    at_end &= after
        return before, at_end


def _edges(steps: tuple[Step, ...], index: int) -> Iterator[Edge]:
    step = steps[index]
    for outcome in outcomes(step):
        field, declared = declared_target(step, outcome)
        yield Edge(field, declared, follow(steps, index, declared))
