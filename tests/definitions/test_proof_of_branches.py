"""What the proof says of references across branches, against every way the branches can go."""

from collections.abc import Iterator
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from definitions.proof import prove
from definitions.routing import ENDINGS
from definitions.steps import CommandStep, ParallelStep, Step
from definitions.workflow import Workflow, all_steps, parse

Seen = dict[str, list[frozenset[str]]]
"""For each step, what had run each time it was reached."""


@st.composite
def _lists(draw: st.DrawFn, prefix: str, depth: int) -> list[dict[str, object]]:
    names = [f"{prefix}{number}" for number in range(draw(st.integers(1, 2)))]
    steps: list[dict[str, object]] = []
    for number, name in enumerate(names):
        onward = st.sampled_from([*names[number + 1 :], "end", "fail"])
        fields: dict[str, object] = {"id": name, "on_success": draw(onward), "on_failure": draw(onward)}
        if depth and draw(st.booleans()):
            branches = [{"steps": draw(_lists(name + letter, depth - 1))} for letter in "xy"]
            join = draw(st.sampled_from(["all", "any"]))
            steps.append({**fields, "type": "parallel", "join": join, "branches": branches})
        else:
            steps.append({**fields, "type": "command", "command": "true"})
    return steps


def _ways(steps: tuple[Step, ...], ran: frozenset[str], seen: Seen) -> Iterator[tuple[str, frozenset[str]]]:
    """Every way through a list: how it ends, and what has run then."""
    waiting = [(steps[0], ran)]
    while waiting:
        step, before = waiting.pop()
        seen.setdefault(step.id, []).append(before)
        for good, after in _outcomes(step, before, seen):
            target = step.on_success if good else step.on_failure
            if target in ENDINGS:
                yield target, after | {step.id}
            else:
                waiting.append((next(one for one in steps if one.id == target), after | {step.id}))


def _outcomes(step: Step, before: frozenset[str], seen: Seen) -> list[tuple[bool, frozenset[str]]]:
    if not isinstance(step, ParallelStep):
        return [(True, before), (False, before)]
    found: list[tuple[bool, frozenset[str]]] = []
    for ways in product(*([*_ways(branch.steps, before, seen)] for branch in step.branches)):
        whole = before.union(*(ran for _, ran in ways))
        winners = [ran for end, ran in ways if end == "end"]
        if step.join == "any" and winners:
            found += [(True, before | ran) for ran in winners]  # the others may not have done a thing
        else:
            found.append((len(winners) == len(ways), whole))
    return found


def _with_reference(steps: list[dict[str, object]], reader: str, read: str) -> Workflow:
    def written(step: dict[str, object]) -> dict[str, object]:
        if step["id"] == reader and step["type"] == "command":
            return {**step, "command": f"echo {{{{step_{read}.stdout}}}}"}
        branches = [{"steps": [written(s) for s in b["steps"]]} for b in step.get("branches", ())]  # type: ignore[attr-defined]
        return {**step, "branches": branches} if branches else step

    workflow, problems = parse({"name": "w", "steps": [written(step) for step in steps]})
    assert workflow is not None, problems
    return workflow


@settings(max_examples=300)
@given(_lists("s", 2), st.data())
def test_a_reference_is_refused_exactly_when_the_step_may_not_have_run(
    steps: list[dict[str, object]], data: st.DataObject
) -> None:
    plain, _ = parse({"name": "w", "steps": steps})
    assert plain is not None
    commands = [step.id for step in all_steps(plain.steps) if isinstance(step, CommandStep)]
    reader, read = data.draw(st.sampled_from(commands)), data.draw(st.sampled_from(commands))
    found = {problem.code for problem in prove(_with_reference(steps, reader, read))}
    seen: Seen = {}
    list(_ways(plain.steps, frozenset(), seen))
    may_lack = any(read not in before for before in seen.get(reader, []))
    assert ("not-on-every-path" in found) == may_lack


def test_after_branches_that_were_not_over_in_time_nothing_of_them_is_certain() -> None:
    def problems(**fields: object) -> list[tuple[str, str]]:
        branches = [{"steps": [{"id": "a", "type": "command", "command": "true"}]}]
        parallel = {"id": "p", "type": "parallel", "branches": branches, "on_failure": "late", **fields}
        late = {"id": "late", "type": "command", "command": "echo {{step_a.stdout}}"}
        then = {**late, "id": "then", "on_success": "end"}
        workflow, _ = parse({"name": "w", "steps": [parallel, then, late]})
        assert workflow is not None
        return [(problem.code, problem.pointer) for problem in prove(workflow)]

    assert problems() == []
    assert problems(timeout_minutes=5) == [("not-on-every-path", "/steps/2/command")]


def test_outputs_may_name_what_every_branch_that_ended_well_has_run() -> None:
    def problems(join: str) -> list[str]:
        branches = [{"steps": [{"id": name, "type": "command", "command": "true"}]} for name in "ab"]
        parallel = {"id": "p", "type": "parallel", "join": join, "branches": branches}
        workflow, _ = parse({"name": "w", "steps": [parallel], "outputs": {"x": "{{step_a.stdout}}"}})
        assert workflow is not None
        return [problem.pointer for problem in prove(workflow) if problem.code == "not-on-every-path"]

    assert problems("all") == []
    assert problems("any") == ["/outputs/x"]
