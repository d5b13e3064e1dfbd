"""The proof: everything that would keep a workflow from running, found before it is published."""

from collections.abc import Iterator

from definitions.catalogue import Catalogue, ScriptFacts
from definitions.graph import Graph
from definitions.nearest import nearest, pointer_to
from definitions.problems import Problem
from definitions.proof_catalogue import check_against, not_checked
from definitions.proof_references import Ran, References
from definitions.steps import ConditionStep, JobStep, PamCheckinStep, PamCheckoutStep, Step
from definitions.steps.step import CONTINUE, TARGET_WORDS
from definitions.workflow import Workflow, all_steps

__all__ = ["Catalogue", "ScriptFacts", "prove"]


def prove(workflow: Workflow, catalogue: Catalogue | None = None) -> list[Problem]:
    """Every problem of the workflow: step by step, then the outputs'."""
    known = catalogue or Catalogue()
    refs = References(workflow)
    problems = _prove_list(Graph(workflow.steps), "/steps", 0, refs, known)
    problems += not_checked(tuple(all_steps(workflow.steps)), known)
    return problems


def _prove_list(graph: Graph, pointer: str, outer: int, refs: References, known: Catalogue) -> list[Problem]:
    """One list of steps, the workflow's or a branch's; `outer` has run before it for certain."""
    order, cycles = graph.walked
    certain = graph.certain
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
    for cycle in cycles:
        by_step[cycle[-2]].append(_cycle(graph, cycle, pointer))
    reached = set(order)
    for index, step in enumerate(graph.steps):
        where = pointer_to(pointer, index)
        if index not in reached:
            message = f"No path leads to `{step.id}`."
            by_step[index].append(
                _problem(where, "dead-step", message, "Lead to it from another step, or remove it.")
            )
        ran = certain.before[index] | outer
        by_step[index] += _prove_step(step, where, graph.among(ran), refs, known)
        for number, branch in enumerate(graph.inner.get(index, ())):
            inside = pointer_to(where, "branches", number, "steps")
            by_step[index] += _prove_list(branch, inside, ran, refs, known)
    problems = [problem for found in by_step for problem in found]
    if pointer == "/steps":
        problems += refs.check_outputs(graph.among(certain.at_end))
    return problems


def _prove_step(step: Step, where: str, ran: Ran, refs: References, known: Catalogue) -> list[Problem]:
    problems = list(_not_available(step, where))
    if isinstance(step, ConditionStep) and step.on_success != CONTINUE:
        message = "A condition does not go by `on_success`, but by `on_true` and `on_false`."
        fix = "Use `on_true` and `on_false`."
        problems.append(
            Problem(
                pointer=f"{where}/on_success",
                code="unused-field",
                message=message,
                fix=fix,
                severity="warning",
            )
        )
    problems += refs.check_step(step, where, ran)
    problems += check_against(step, where, known, refs.secrets)
    return problems


def _not_available(step: Step, where: str) -> Iterator[Problem]:
    """What is defined, and what this version does not run yet."""
    if isinstance(step, PamCheckoutStep | PamCheckinStep):
        message = f"Steps of type {step.type} are not available yet."
        yield _problem(f"{where}/type", "not-available-yet", message, "Leave the step out for now.")
    if isinstance(step, JobStep) and step.run_as is not None:
        message = "Running as another identity is not available yet."
        yield _problem(f"{where}/run_as", "not-available-yet", message, "Leave `run_as` out for now.")

    for field, unset in _NOT_YET.items():
        if getattr(step, field, unset) != unset and not (
            field == "timeout_minutes" and step.type == "approval"
        ):
            message = f"`{field}` on a step of type {step.type} is not available yet."
            yield _problem(f"{where}/{field}", "not-available-yet", message, f"Leave `{field}` out for now.")


_NOT_YET: dict[str, object] = {
    "retries": 0,
    "timeout_minutes": None,
    "max_parallel": None,
    "max_failures": None,
}
"""Fields the engine does not act on yet, and their value when they are not set: never ignored silently."""


def _cycle(graph: Graph, cycle: tuple[int, ...], pointer: str) -> Problem:
    names = " → ".join(graph.steps[index].id for index in cycle)
    last, again = cycle[-2], graph.steps[cycle[-1]].id
    field = next(edge.field for edge in graph.edges[last] if edge.target == again)
    fix = "Lead one of them onward, or to `end` or `fail`: a workflow never goes back."
    return _problem(f"{pointer_to(pointer, last)}/{field}", "cycle", f"This goes in a circle: {names}.", fix)


def _problem(pointer: str, code: str, message: str, fix: str) -> Problem:
    return Problem(pointer=pointer, code=code, message=message, fix=fix)
