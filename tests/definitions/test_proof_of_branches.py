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
        onward = st.sampled_from([*names[number + 1 :], "end", "fail", "cancelled"])
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
            target = {True: step.on_success, False: step.on_failure, None: "cancelled"}[good]
            if target in ENDINGS:
                yield target, after | {step.id}
            else:
                waiting.append((next(one for one in steps if one.id == target), after | {step.id}))


def _outcomes(step: Step, before: frozenset[str], seen: Seen) -> list[tuple[bool | None, frozenset[str]]]:
    """None: the instance ends while the step runs."""
    if not isinstance(step, ParallelStep):
        return [(True, before), (False, before)]
    found: list[tuple[bool | None, frozenset[str]]] = []
    for ways in product(*([*_ways(branch.steps, before, seen)] for branch in step.branches)):
        whole = before.union(*(ran for _, ran in ways))
        winners = [ran for end, ran in ways if end == "end"]
        if step.join == "any" and winners:
            found += [(True, before | ran) for ran in winners]  # the others may not have done a thing
        elif any(end == "cancelled" for end, _ in ways):
            found.append((None, whole))
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


@settings(max_examples=300, deadline=None)
@given(_lists("s", 2), st.data())
def test_a_reference_is_refused_exactly_when_the_step_may_not_have_run_and_a_step_when_it_never_does(
    steps: list[dict[str, object]], data: st.DataObject
) -> None:
    plain, _ = parse({"name": "w", "steps": steps})
    assert plain is not None
    commands = [step.id for step in all_steps(plain.steps) if isinstance(step, CommandStep)]
    reader, read = data.draw(st.sampled_from(commands)), data.draw(st.sampled_from(commands))
    found = prove(_with_reference(steps, reader, read))
    seen: Seen = {}
    list(_ways(plain.steps, frozenset(), seen))
    may_lack = any(read not in before for before in seen.get(reader, []))
    assert ("not-on-every-path" in {problem.code for problem in found}) == may_lack
    dead = {problem.message for problem in found if problem.code == "dead-step"}
    lists = [inner for one in all_steps(plain.steps) if one.id in seen for inner in _inside(one)]
    for step in [each for inner in [plain.steps, *lists] for each in inner]:
        assert (f"No path leads to `{step.id}`." in dead) == (step.id not in seen)


def _inside(step: Step) -> list[tuple[Step, ...]]:
    return [branch.steps for branch in step.branches] if isinstance(step, ParallelStep) else []


def _dead(*steps: dict[str, object]) -> list[str]:
    workflow, problems = parse({"name": "w", "steps": list(steps)})
    assert workflow is not None, problems
    return [problem.pointer for problem in prove(workflow) if problem.code == "dead-step"]


def test_a_step_after_branches_that_can_only_be_cancelled_is_dead() -> None:
    only = {"id": "a", "type": "command", "command": "true", "on_success": "cancelled"}
    only |= {"on_failure": "cancelled"}
    then = {"id": "then", "type": "command", "command": "true"}
    fork: dict[str, object] = {"id": "p", "type": "parallel", "branches": [{"steps": [only]}]}
    assert _dead(fork, then) == ["/steps/1"]
    assert _dead({**fork, "timeout_minutes": 1, "on_failure": "then"}, then) == []


def test_what_a_branch_leads_to_by_mistake_makes_no_step_dead() -> None:
    step = {"id": "a", "type": "command", "command": "true"}
    then = {"id": "then", "type": "command", "command": "true"}
    for mistake in ({"on_success": "tehn"}, {"on_success": "a"}):
        inner = {"id": "q", "type": "parallel", "branches": [{"steps": [{**step, **mistake}]}]}
        for steps in (inner["branches"], [{"steps": [inner]}]):
            assert _dead({"id": "p", "type": "parallel", "branches": steps}, then) == []


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
