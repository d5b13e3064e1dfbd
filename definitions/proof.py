"""The proof: everything that would keep a workflow from running, found before it is published."""

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from operator import or_

from definitions.catalogue import Catalogue, IdentityFacts, ScriptFacts
from definitions.delays import length
from definitions.graph import Graph
from definitions.nearest import nearest, pointer_to
from definitions.problems import Problem
from definitions.proof_catalogue import check_against, not_checked
from definitions.proof_identities import check_identities
from definitions.proof_overlaps import Overlaps
from definitions.proof_references import References
from definitions.reading import an
from definitions.rollout import limit_in_words
from definitions.steps import ConditionStep, DelayStep, JobStep, PamCheckinStep, Step
from definitions.steps.step import CONTINUE, END, TARGET_WORDS
from definitions.witness import Before, Effort
from definitions.workflow import Workflow, all_steps

__all__ = ["Catalogue", "IdentityFacts", "ScriptFacts", "prove"]


def prove(workflow: Workflow, catalogue: Catalogue | None = None) -> list[Problem]:
    """Every problem of the workflow: step by step, then the outputs'."""
    known = catalogue or Catalogue()
    workflow = known.identities_by_name(workflow)
    refs = References(workflow, known.hosts)
    graph = Graph(workflow.steps)
    overlaps = Overlaps(refs.steps.values(), graph.bit)
    problems = _prove_list(graph, "/steps", None, refs, known, overlaps)
    problems += not_checked(tuple(all_steps(workflow.steps)), known)
    return problems


def _prove_list(
    graph: Graph, pointer: str, outer: Before | None, refs: References, known: Catalogue, overlaps: Overlaps
) -> list[Problem]:
    """One list of steps, the workflow's or a branch's; `outer` is the parallel step around it."""
    by_step: list[list[Problem]] = [[] for _ in graph.steps]
    for index, edge in graph.unknown_targets():
        message = f"There is no step `{edge.declared}`."
        fix = (
            nearest(edge.declared, [*graph.index, *TARGET_WORDS])
            or f"Known words: {', '.join(TARGET_WORDS)}."
        )
        by_step[index].append(
            _problem(f"{pointer_to(pointer, index)}/{edge.field}", "unknown-target", message, fix)
        )
    for cycle in graph.walked[1]:
        by_step[cycle[-2]].append(_cycle(graph, cycle, pointer))
    effort = outer.effort if outer else Effort()
    for index, step in enumerate(graph.steps):
        where = pointer_to(pointer, index)
        if index not in graph.reached:
            message = f"No path leads to `{step.id}`."
            by_step[index].append(
                _problem(where, "dead-step", message, "Lead to it from another step, or remove it.")
            )
        before = _before(graph, index, effort, outer)
        by_step[index] += _prove_step(step, where, before, refs, known)
        by_step[index] += overlaps.check(step, where, before, known)
        branches = graph.inner.get(index, ())
        for number, branch in enumerate(branches):
            inside = pointer_to(where, "branches", number, "steps")
            others = [other.undone.anywhere for other in branches if other is not branch]
            beside = replace(before, beside=reduce(or_, others, before.beside))
            by_step[index] += _prove_list(branch, inside, beside, refs, known, overlaps)
    problems = [problem for found in by_step for problem in found]
    if pointer == "/steps":
        problems += refs.check_outputs(Before(graph, END, graph.certain.at_end, effort))
    return problems


def _before(graph: Graph, index: int, effort: Effort, outer: Before | None) -> Before:
    """The place of one step of a list."""
    own, undone = graph.certain.before[index], graph.undone.before[index]
    place = graph.steps[index].id
    if outer is None:
        return Before(graph, place, own, effort, None, undone)
    # What was undone before the branches began may be done again in this one.
    undone |= outer.undone & ~own
    return Before(graph, place, own | outer.ran, effort, outer, undone, outer.beside)


def _prove_step(step: Step, where: str, before: Before, refs: References, known: Catalogue) -> list[Problem]:
    problems = list(_unused(step, where))
    problems += _never_in_time(step, where)
    problems += refs.check_step(step, where, before)
    problems += check_identities(step, where, before, refs.steps, known)
    problems += check_against(step, where, known, refs.secrets)
    return problems


def _unused(step: Step, where: str) -> Iterator[Problem]:
    """Fields that change nothing on this step."""
    if isinstance(step, ConditionStep) and step.on_success != CONTINUE:
        message = "A condition does not go by `on_success`, but by `on_true` and `on_false`."
        yield _warning(f"{where}/on_success", message, "Use `on_true` and `on_false`.")
    if isinstance(step, ConditionStep | PamCheckinStep) and step.timeout_minutes is not None:
        message = f"{an(step.type)} step never waits, so it has no use for a deadline."
        yield _warning(f"{where}/timeout_minutes", message, "Leave `timeout_minutes` out.")
    if step.retries and not isinstance(step, JobStep):
        message = f"{an(step.type)} step has no jobs that could be tried again."
        yield _warning(f"{where}/retries", message, "Set `retries` on script and command steps.")
    for field, unset in _OF_RETRIES.items():
        if not step.retries and getattr(step, field) != unset:
            message = f"`{field}` says how further attempts are made, and there are none."
            yield _warning(f"{where}/{field}", message, "Set `retries` too.")
    if isinstance(step, JobStep) and not (step.max_failures is None or step.max_parallel or step.retries):
        message = "All hosts begin at once and only once: there is nothing that failures could stop."
        yield _warning(f"{where}/max_failures", message, "Set `max_parallel`, and hosts begin in waves.")


def _never_in_time(step: Step, where: str) -> Iterator[Problem]:
    """A delay that its own deadline always ends."""
    if not isinstance(step, DelayStep) or step.until is not None or step.timeout_minutes is None:
        return
    if length(step) > 60 * float(step.timeout_minutes):
        message = f"This delay is never over {limit_in_words(step)}, so it always fails."
        yield _problem(f"{where}/timeout_minutes", "never-in-time", message, "Leave `timeout_minutes` out.")


_OF_RETRIES: dict[str, object] = {
    "retry_delay_seconds": 0,
    "retry_backoff": 1,
    "retry_max_delay_seconds": None,
}
"""Fields that mean something only together with `retries`, and their value when they are not set."""


def _cycle(graph: Graph, cycle: tuple[int, ...], pointer: str) -> Problem:
    names = " → ".join(graph.steps[index].id for index in cycle)
    last, again = cycle[-2], graph.steps[cycle[-1]].id
    field = next(edge.field for edge in graph.edges[last] if edge.target == again)
    fix = "Lead one of them onward, or to `end` or `fail`: a workflow never goes back."
    return _problem(f"{pointer_to(pointer, last)}/{field}", "cycle", f"This goes in a circle: {names}.", fix)


def _problem(pointer: str, code: str, message: str, fix: str) -> Problem:
    return Problem(pointer=pointer, code=code, message=message, fix=fix)


def _warning(pointer: str, message: str, fix: str) -> Problem:
    return Problem(pointer=pointer, code="unused-field", message=message, fix=fix, severity="warning")
