"""Branches side by side: how they begin, how they join, and that the order of events changes no end."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from definitions.lifecycles.instance import InstanceStatus
from definitions.routing import ENDINGS, Active, Outcome, advance, fork, joined, made_up_for, outcomes, start
from definitions.steps import ParallelStep, Step
from definitions.workflow import Workflow, all_steps, parse


def _workflow(*steps: object) -> Workflow:
    workflow, problems = parse({"name": "w", "steps": list(steps)})
    assert workflow is not None, problems
    return workflow


def _step(step_id: str, **more: object) -> dict[str, object]:
    return {"id": step_id, "type": "command", "command": "true", **more}


def _parallel(*branches: Sequence[object], **more: object) -> dict[str, object]:
    return {"id": "p", "type": "parallel", "branches": [{"steps": list(steps)} for steps in branches], **more}


P, A, B, C, Z = (Active(name, 1) for name in "pabcz")


def test_a_parallel_step_stays_active_beside_the_first_step_of_every_branch() -> None:
    workflow = _workflow(_parallel([_step("a"), _step("c")], [_step("b")]))
    assert fork(workflow, start(workflow).frontier, P) == (P, A, B)


def test_a_step_that_has_no_branches_forks_and_joins_nothing() -> None:
    workflow = _workflow(_step("a"))
    with pytest.raises(ValueError, match="a command step has no branches"):
        fork(workflow, (A,), A)
    with pytest.raises(ValueError, match="a command step has no branches"):
        joined(workflow, (A,), "a", {})


def test_the_end_of_a_branch_is_not_the_end_of_the_workflow() -> None:
    workflow = _workflow(_parallel([_step("a")], [_step("b")]))
    done = advance(workflow, (P, A, B), A, Outcome.SUCCESS)
    assert (done.frontier, done.ended, done.target) == ((P, B), None, "end")
    assert done.reason == "Succeeded; the branch ends."
    failed = advance(workflow, (P, A, B), A, Outcome.FAILURE)
    assert (failed.frontier, failed.ended, failed.reason) == ((P, B), None, "Failed; the branch fails.")


def test_a_branch_goes_on_within_its_own_list() -> None:
    workflow = _workflow(_parallel([_step("a"), _step("c")], [_step("b")]))
    assert advance(workflow, (P, A, B), A, Outcome.SUCCESS).frontier == (P, B, C)


def test_cancelled_in_a_branch_cancels_the_instance() -> None:
    workflow = _workflow(_parallel([_step("a", on_failure="cancelled")], [_step("b")]))
    done = advance(workflow, (P, A, B), A, Outcome.FAILURE)
    assert (done.frontier, done.ended) == ((), InstanceStatus.CANCELLED)


@pytest.mark.parametrize(
    ("join", "routed", "outcome"),
    [
        ("all", {"a": "end"}, None),
        ("all", {"a": "fail"}, None),
        ("all", {"a": "end", "b": "end"}, Outcome.SUCCESS),
        ("all", {"a": "end", "b": "fail"}, Outcome.FAILURE),
        ("any", {}, None),
        ("any", {"a": "fail"}, None),
        ("any", {"a": "end"}, Outcome.SUCCESS),
        ("any", {"a": "fail", "b": "end"}, Outcome.SUCCESS),
        ("any", {"a": "fail", "b": "fail"}, Outcome.FAILURE),
    ],
)
def test_branches_join(join: str, routed: dict[str, str], outcome: Outcome | None) -> None:
    workflow = _workflow(_parallel([_step("a")], [_step("b")], join=join))
    frontier = (P, *(active for active in (A, B) if active.step not in routed))
    assert joined(workflow, frontier, "p", routed) == outcome


def test_what_an_earlier_visit_led_to_does_not_count() -> None:
    # `a` failed and went by `c`; resumed from `a`, it succeeded and went by `b`.
    branch = [_step("a", on_failure="c"), _step("b", on_success="end"), _step("c", on_success="fail")]
    workflow = _workflow(_parallel(branch))
    assert joined(workflow, (P,), "p", {"a": "b", "b": "end", "c": "fail"}) == Outcome.SUCCESS


BRANCH = [_step("a", on_failure="b"), _step("b", on_success="end", on_failure="fail")]
OTHER = {**_parallel([_step("c")], BRANCH), "id": "q"}


@pytest.mark.parametrize(
    ("step", "routed", "well", "made_up"),
    [
        ("z", {}, {"p"}, False),  # in no branch
        ("c", {"c": "fail", "q": "fail"}, {"q"}, True),  # q went on without it
        ("c", {"c": "fail", "q": "end"}, {"p"}, True),  # p did, which q lies in
        ("c", {"c": "fail", "q": "end"}, set(), True),
        ("c", {"c": "fail", "q": "fail"}, set(), False),
        ("a", {"a": "b", "b": "end", "q": "fail"}, {"b"}, True),  # b mended it; q failed for another reason
        ("a", {"a": "b", "b": "fail", "q": "fail"}, set(), False),
        ("a", {"a": "b", "q": "fail"}, set(), False),  # b was given up at a deadline
        ("a", {"a": "b"}, set(), False),  # q as well
    ],
)
def test_what_fails_in_a_branch_that_was_done_without_is_made_up_for(
    step: str, routed: dict[str, str], well: set[str], made_up: bool
) -> None:
    workflow = _workflow(_parallel([OTHER], join="any"), _step("z"))
    assert made_up_for(workflow, step, routed, well) is made_up


def test_joining_gives_up_what_still_runs_inside() -> None:
    inner = {**_parallel([_step("b")]), "id": "q"}
    workflow = _workflow(_parallel([_step("a")], [inner], join="any"), _step("z"))
    inside = (Active("q", 1), B)
    done = advance(workflow, (P, *inside), P, Outcome.SUCCESS)
    assert (done.frontier, done.target, done.dropped) == ((Z,), "z", inside)


@st.composite
def _lists(draw: st.DrawFn, prefix: str, depth: int, join: str | None) -> list[dict[str, object]]:
    """A list of steps that only lead onward, with branches within branches."""
    names = [f"{prefix}{number}" for number in range(draw(st.integers(1, 3)))]
    steps: list[dict[str, object]] = []
    for number, name in enumerate(names):
        onward = st.sampled_from([*names[number + 1 :], "end", "fail", "continue"])
        fields: dict[str, object] = {"id": name, "on_success": draw(onward), "on_failure": draw(onward)}
        if depth and draw(st.booleans()):
            branches = [
                {"steps": draw(_lists(f"{name}_{letter}", depth - 1, join))}
                for letter in "xyz"[: draw(st.integers(1, 3))]
            ]
            kind = join or draw(st.sampled_from(["all", "any"]))
            steps.append({**fields, "type": "parallel", "join": kind, "branches": branches})
        else:
            steps.append({**fields, "type": "command", "command": "true"})
    return steps


_RANDOM = st.integers(0, 2**32)
_OUTCOMES = (Outcome.SUCCESS, Outcome.FAILURE)


def _reference(steps: tuple[Step, ...], fate: dict[str, Outcome], seen: set[str]) -> str:
    """A short interpreter that knows no frontier: one list after the other, to its end."""
    index = 0
    while True:
        step = steps[index]
        seen.add(step.id)
        outcome = fate[step.id]
        if isinstance(step, ParallelStep):
            ends = [_reference(branch.steps, fate, seen) for branch in step.branches]
            good = "end" in ends if step.join == "any" else set(ends) == {"end"}
            outcome = Outcome.SUCCESS if good else Outcome.FAILURE
        target = step.on_success if outcome is Outcome.SUCCESS else step.on_failure
        if target == "continue":
            target = steps[index + 1].id if index + 1 < len(steps) else "end"
        if target in ENDINGS:
            return target
        index = next(at for at, other in enumerate(steps) if other.id == target)


def _run(workflow: Workflow, fate: dict[str, Outcome], dice: random.Random) -> tuple[str, set[str]]:
    """Walk by the frontier; whatever may end next does so in any order."""
    frontier, routed, begun = start(workflow).frontier, dict[str, str](), set[Active]()
    while True:
        while new := [active for active in frontier if active not in begun]:
            begun.update(new)
            for active in new:
                if isinstance(workflow.step(active.step), ParallelStep):
                    frontier = fork(workflow, frontier, active)
        ready = []
        for active in frontier:
            step = workflow.step(active.step)
            parallel = isinstance(step, ParallelStep)
            outcome = joined(workflow, frontier, step.id, routed) if parallel else fate[step.id]
            if outcome is not None:
                ready.append((active, outcome))
        active, outcome = dice.choice(ready)
        done = advance(workflow, frontier, active, outcome)
        routed[active.step] = done.target
        if done.ended is not None:
            return done.target, {active.step for active in begun}
        frontier = done.frontier


def _walk(steps: list[dict[str, object]], seed: int) -> tuple[tuple[str, set[str]], tuple[str, set[str]]]:
    dice = random.Random(seed)
    workflow = _workflow(*steps)
    fate = {step.id: dice.choice(_OUTCOMES) for step in all_steps(workflow.steps)}
    seen: set[str] = set()
    end = _reference(workflow.steps, fate, seen)
    return (end, seen), _run(workflow, fate, dice)


@settings(max_examples=600, deadline=None)
@given(_lists("s", 2, "all"), _RANDOM)
def test_in_any_order_the_same_steps_run_and_the_end_is_the_same(
    steps: list[dict[str, object]], seed: int
) -> None:
    expected, found = _walk(steps, seed)
    assert found == expected


@settings(max_examples=600, deadline=None)
@given(_lists("s", 2, None), _RANDOM)
def test_with_any_the_end_is_the_same_and_nothing_else_runs(
    steps: list[dict[str, object]], seed: int
) -> None:
    (end, seen), (found, begun) = _walk(steps, seed)
    assert found == end
    assert begun <= seen


def test_the_kinds_of_outcomes_are_as_for_other_steps() -> None:
    assert outcomes(_workflow(_parallel([_step("a")])).steps[0]) == (Outcome.SUCCESS, Outcome.FAILURE)
