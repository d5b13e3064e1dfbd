"""Before a place of a workflow: what has run for certain, and a path on which something has not."""

from dataclasses import dataclass

from definitions.graph import Edge, Graph, checked_out
from definitions.steps import ParallelStep
from definitions.steps.step import END, FAIL

_MOST_SHOWN = 12
_MOST_HOPS = 50_000
"""Looked at for all the witnesses of one proof: a definition with many mistakes is answered too."""
_FREE_HOPS = 8
"""Shown of the way to where the step could run at the earliest: any way there will do."""
HOW = {"on_success": "succeeds", "on_failure": "fails", "on_true": "is true", "on_false": "is false"}


class Effort:
    """What is left to do for witnesses."""

    def __init__(self) -> None:
        self.left = _MOST_HOPS


@dataclass(frozen=True)
class Before:
    """A place: a step of a list, or the end of the list, and what has run for certain when it is reached."""

    graph: Graph
    place: str
    """The step's id, or `end`."""
    ran: int
    effort: Effort
    outer: "Before | None" = None
    """The parallel step around the list."""
    undone: int = 0
    """What a path here may have undone, see `graph.Undone`."""
    beside: int = 0
    """What another branch may undo at any moment."""

    def open(self, name: str) -> bool:
        """Whether an identity is checked out on every path, and on none checked in again."""
        gone = (self.undone | self.beside) & self.graph.bit(checked_out(name))
        return self.has(checked_out(name)) and not gone

    def knows(self, name: str) -> bool:
        """Whether there is such a step or identity in the workflow at all."""
        return self.graph.numbered(name)

    def may_follow(self, step_id: str) -> bool:
        """Whether a step may have run before this place: earlier in its list, or in a branch beside."""
        bit = self.graph.bit(step_id)
        if self.graph.possible.get(self.place, 0) & bit:
            return True
        if self.outer is None:
            return False
        branches = self.outer.graph.inner[self.outer.graph.index[self.outer.place]]
        beside = any(branch.holds & bit for branch in branches if branch is not self.graph)
        return beside or self.outer.may_follow(step_id)

    def has(self, name: str) -> bool:
        """Whether a step has run, or an identity is checked out, on every path."""
        return bool(self.ran & self.graph.bit(name))

    def witness(self, name: str) -> str:
        """A path on which it has not, as people read it; empty when too many have been asked for."""
        return self.told(self._hops(self.graph.bit(name)))

    def told(self, hops: list[str]) -> str:
        """A path that ends here, as people read it; empty when too many have been asked for."""
        if self.effort.left <= 0:
            return ""
        if len(hops) > _MOST_SHOWN:
            half = _MOST_SHOWN // 2
            hops = [*hops[:half], f"({len(hops) - 2 * half} more)", *hops[-half:]]
        return " → ".join(["start", *hops, "here" if self.place != END else END])

    def _hops(self, bit: int) -> list[str]:
        hops = [] if self.outer is None else [*self.outer._hops(bit), f"{self.outer.place} begins"]
        return hops + back(self.graph, self.place, bit, self.effort)


def on_the_path(witness: str) -> str:
    """How a sentence ends that a path bears out."""
    return f", as on the path {witness}." if witness else "."


def back(graph: Graph, place: str, bit: int, effort: Effort) -> list[str]:
    """The hops from the start of a list to a place of it, found backwards: what has not run for certain
    at a place has not on one of the edges that lead there. No bit: any way there."""
    hops: list[str] = []
    free = 0
    while effort.left > 0:
        if place in graph.index and not graph.possible[place] & bit:
            free += 1
        if free > _FREE_HOPS and place != graph.steps[0].id:
            hops.append("…")
            break
        entering = graph.entering.get(place, [])
        effort.left -= 1 + len(entering)
        found = next(
            (
                (index, edge)
                for index, edge in entering
                if graph.goes_on(index, edge)
                and not (graph.certain.before[index] | graph.adds(index, edge)) & bit
            ),
            None,
        )
        if found is None:
            break
        hops.append(hop(graph, *found, bit, effort))
        place = graph.steps[found[0]].id
    return hops[::-1]


def hop(graph: Graph, index: int, edge: Edge, bit: int, effort: Effort) -> str:
    """One step as it is left by an edge that does not add the bit."""
    step, how = graph.steps[index], HOW[edge.field]
    if not isinstance(step, ParallelStep) or not any(inner.holds & bit for inner in graph.inner[index]):
        return f"{step.id} {how}"
    labels = step.branch_labels()
    branches = list(zip(labels, graph.inner[index], strict=True))
    if step.join == "any" and edge.field == "on_success":
        label, winner = next(
            each
            for each in sorted(branches, key=lambda each: bool(each[1].holds & bit))
            if not each[1].certain.at_end & bit
        )
        if not winner.holds & bit:
            return f"{step.id} {how} by {label}"
        return f"{step.id} {how} by {label} ({_inside(winner, END, bit, effort)})"
    _, holder = next(each for each in branches if each[1].holds & bit)
    ending = END if edge.field == "on_success" or holder.certain.at_fail & bit else FAIL
    return f"{step.id} {how} ({_inside(holder, ending, bit, effort)})"


def _inside(graph: Graph, ending: str, bit: int, effort: Effort) -> str:
    return " → ".join([*back(graph, ending, bit, effort), ending])
