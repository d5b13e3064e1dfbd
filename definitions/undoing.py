"""A path on which what was done for identities has been undone: checked in again, or opened and not ended.

Found backwards, as `definitions.witness` finds where something has not run: what may be undone at a place
was undone by one of the steps that lead there, or had been before it. How one gets to that step is free.
"""

from definitions.graph import Edge, Graph
from definitions.steps import ParallelStep
from definitions.steps.step import END, FAIL
from definitions.witness import HOW, Before, Effort, back, hop

_COST = 5
"""How many hops of another witness one of these is worth."""


def path(before: Before, name: str) -> str:
    """Such a path, as people read it; empty when too many have been asked for. `name`: as it stands in sets,
    of something that `before.undone` or `before.beside` has."""
    return before.told(_hops(before, before.graph.bit(name)))


def _hops(before: Before, bit: int) -> list[str]:
    graph, outer = before.graph, before.outer
    if outer is None:
        return _back(graph, before.place, bit, before.effort)
    begins = f"{outer.place} begins"
    if graph.undone.before[graph.index[before.place]] & bit:
        return [*_any(outer), begins, *_back(graph, before.place, bit, before.effort)]
    if before.undone & bit:
        return [*_hops(outer, bit), begins, *back(graph, before.place, bit, before.effort)]
    here = back(graph, before.place, 0, before.effort)
    meanwhile = _meanwhile(before, outer, bit)
    if meanwhile is None:
        return [*_hops(outer, bit), begins, *here]
    return [*_any(outer), begins, meanwhile, *here]


def _any(before: Before) -> list[str]:
    """Some way to a place."""
    hops = [] if before.outer is None else [*_any(before.outer), f"{before.outer.place} begins"]
    return hops + back(before.graph, before.place, 0, before.effort)


def _meanwhile(before: Before, outer: Before, bit: int) -> str | None:
    """What a branch beside this one does, if one of them may undo it."""
    index = outer.graph.index[outer.place]
    step = outer.graph.steps[index]
    assert isinstance(step, ParallelStep)
    for label, branch in zip(step.branch_labels(), outer.graph.inner[index], strict=True):
        if branch is not before.graph and branch.undone.anywhere & bit:
            return f"meanwhile {label} ({' → '.join(_until(branch, bit, before.effort))})"
    return None


def _back(graph: Graph, place: str, bit: int, effort: Effort) -> list[str]:
    """The hops from the start of a list to a place of it at which it may be undone."""
    hops: list[str] = []
    while effort.left > 0:
        entering = graph.entering[place]
        effort.left -= _COST * (1 + len(entering))
        index, edge, carried = next(
            (index, edge, carried)
            for index, edge in entering
            if graph.goes_on(index, edge)
            and ((carried := _carried(graph, index, edge) & bit) or graph.undoes(index, edge) & bit)
        )
        place = graph.steps[index].id
        if not carried:
            hops.append(_doing(graph, index, edge, bit, effort))
            return [*back(graph, place, 0, effort), *hops[::-1]]
        hops.append(hop(graph, index, edge, bit, effort))
    return hops


def _carried(graph: Graph, index: int, edge: Edge) -> int:
    """What has been undone before a step and still is after it."""
    return graph.undone.before[index] & ~graph.adds(index, edge)


def _doing(graph: Graph, index: int, edge: Edge, bit: int, effort: Effort) -> str:
    """The step that undoes it, by itself or in a branch."""
    step, how = graph.steps[index], HOW[edge.field]
    if not isinstance(step, ParallelStep):
        return f"{step.id} {how}"
    branches = graph.inner[index]
    ended = next((each for each in branches if each.undone.at_end & bit), None)
    failed = next((each for each in branches if each.undone.at_fail & bit), None)
    if ended is not None:
        inside = [*_back(ended, END, bit, effort), END]
    elif failed is not None and edge.field == "on_failure":
        inside = [*_back(failed, FAIL, bit, effort), FAIL]
    else:
        given_up = next(each for each in branches if each.undone.anywhere & bit)
        inside = _until(given_up, bit, effort)
    return f"{step.id} {how} ({' → '.join(inside)})"


def _until(graph: Graph, bit: int, effort: Effort) -> list[str]:
    """The hops of a list up to the first step that undoes it."""
    index, edge = next(
        (index, edge)
        for index in graph.walked[0]
        for edge in graph.edges[index]
        if graph.goes_on(index, edge) and graph.undoes(index, edge) & bit
    )
    effort.left -= index
    place = graph.steps[index].id
    return [*back(graph, place, 0, effort), _doing(graph, index, edge, bit, effort)]
