"""Routing: every walk ends, and goes only where the definition says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from definitions.errors import Conflict
from definitions.lifecycles.instance import InstanceStatus
from definitions.routing import Active, Outcome, advance, outcomes, start
from definitions.workflow import Workflow


def _workflow(*steps: dict[str, object]) -> Workflow:
    return Workflow.model_validate(
        {"name": "w", "steps": [{"type": "command", "command": "true", **s} for s in steps]}
    )


def _go(workflow: Workflow, step: str, outcome: Outcome) -> tuple[str, InstanceStatus | None]:
    active = Active(step, 1)
    result = advance(workflow, (active,), active, outcome)
    return result.target, result.ended


def test_an_instance_starts_at_the_first_step() -> None:
    assert start(_workflow({"id": "a"}, {"id": "b"})).frontier == (Active("a", 1),)


def test_success_goes_on_to_the_next_and_after_the_last_to_the_end() -> None:
    workflow = _workflow({"id": "a"}, {"id": "b"})
    assert _go(workflow, "a", Outcome.SUCCESS) == ("b", None)
    assert _go(workflow, "b", Outcome.SUCCESS) == ("end", InstanceStatus.COMPLETED)


def test_failure_aborts_unless_the_step_says_otherwise() -> None:
    workflow = _workflow({"id": "a", "on_failure": "c"}, {"id": "b"}, {"id": "c", "on_failure": "cancelled"})
    assert _go(workflow, "a", Outcome.FAILURE) == ("c", None)
    assert _go(workflow, "b", Outcome.FAILURE) == ("fail", InstanceStatus.FAILED)
    assert _go(workflow, "c", Outcome.FAILURE) == ("cancelled", InstanceStatus.CANCELLED)


def test_a_condition_goes_by_its_answer() -> None:
    workflow = _workflow({"id": "a"})
    branching = Workflow.model_validate(
        {"name": "w", "steps": [{"id": "a", "type": "condition", "condition": "true", "on_false": "end"}]}
    )
    assert _go(branching, "a", Outcome.TRUE) == ("end", InstanceStatus.COMPLETED)
    assert _go(branching, "a", Outcome.FALSE) == ("end", InstanceStatus.COMPLETED)
    assert _go(branching, "a", Outcome.FAILURE) == ("fail", InstanceStatus.FAILED)
    with pytest.raises(ValueError, match="does not end with true"):
        _go(workflow, "a", Outcome.TRUE)
    with pytest.raises(ValueError, match="does not end with success"):
        _go(branching, "a", Outcome.SUCCESS)


def test_a_cancelled_step_cancels_the_instance() -> None:
    assert _go(_workflow({"id": "a"}), "a", Outcome.CANCELLED) == ("cancelled", InstanceStatus.CANCELLED)


def test_a_step_that_is_not_active_can_not_advance() -> None:
    workflow = _workflow({"id": "a"})
    with pytest.raises(Conflict, match=r"a \(visit 2\) is not active"):
        advance(workflow, start(workflow).frontier, Active("a", 2), Outcome.SUCCESS)


def test_other_active_steps_stay_active() -> None:
    workflow = _workflow({"id": "a"}, {"id": "b"}, {"id": "c"})
    frontier = (Active("a", 1), Active("c", 1))
    assert advance(workflow, frontier, frontier[0], Outcome.SUCCESS).frontier == (
        Active("c", 1),
        Active("b", 1),
    )


@pytest.mark.parametrize(
    ("step", "outcome", "reason"),
    [
        ("a", Outcome.SUCCESS, "Succeeded; next is b."),
        ("a", Outcome.FAILURE, "Failed; next is c."),
        ("a", Outcome.CANCELLED, "Cancelled."),
        ("b", Outcome.TRUE, "The condition is true; next is c."),
        ("b", Outcome.FALSE, "The condition is false; the workflow is cancelled."),
        ("b", Outcome.FAILURE, "Failed; the workflow fails."),
        ("c", Outcome.SUCCESS, "Succeeded; the workflow ends."),
    ],
)
def test_the_reason_says_in_plain_words_how_it_went_and_what_is_next(
    step: str, outcome: Outcome, reason: str
) -> None:
    document = {
        "name": "w",
        "steps": [
            {"id": "a", "type": "command", "command": "true", "on_failure": "c"},
            {"id": "b", "type": "condition", "condition": "true", "on_false": "cancelled"},
            {"id": "c", "type": "command", "command": "true"},
        ],
    }
    active = Active(step, 1)
    assert advance(Workflow.model_validate(document), (active,), active, outcome).reason == reason


@st.composite
def _acyclic(draw: st.DrawFn) -> Workflow:
    count = draw(st.integers(1, 8))
    steps: list[dict[str, object]] = []
    for index in range(count):
        onward = [f"s{later}" for later in range(index + 1, count)]
        target = st.sampled_from([*onward, "end", "fail", "continue", "cancelled"])
        fields: dict[str, object] = {"id": f"s{index}", "on_failure": draw(target)}
        if draw(st.booleans()):
            fields |= {
                "type": "condition",
                "condition": "true",
                "on_true": draw(target),
                "on_false": draw(target),
            }
        else:
            fields |= {"type": "command", "command": "true", "on_success": draw(target)}
        steps.append(fields)
    return Workflow.model_validate({"name": "w", "steps": steps})


@given(workflow=_acyclic(), data=st.data())
def test_every_walk_through_an_acyclic_workflow_ends_within_its_steps(
    workflow: Workflow, data: st.DataObject
) -> None:
    here = start(workflow)
    for _ in range(len(workflow.steps)):
        step = workflow.step(here.frontier[0].step)
        outcome = data.draw(st.sampled_from(outcomes(step)))
        after = advance(workflow, here.frontier, here.frontier[0], outcome)
        if after.ended is not None:
            assert after.frontier == ()
            return
        assert workflow.place(after.target).index > workflow.place(step.id).index
        here = after
    raise AssertionError("the walk did not end")
