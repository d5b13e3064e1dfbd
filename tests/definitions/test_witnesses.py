"""Why a reference is refused: a path on which it is not defined, shown and replayed."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from definitions import witness
from definitions.problems import Problem
from definitions.proof import prove
from definitions.routing import Outcome, advance, start
from definitions.steps.step import TARGET_WORDS
from definitions.workflow import Workflow, parse

COMMAND: dict[str, Any] = {"type": "command", "command": "true"}
READER: dict[str, Any] = {"id": "r", "type": "command", "command": "echo {{step_x.stdout}}"}


def _workflow(*steps: dict[str, Any], **more: Any) -> Workflow:
    workflow, problems = parse({"name": "w", "steps": list(steps), **more})
    assert workflow is not None, problems
    return workflow


def _refused(*steps: dict[str, Any], **more: Any) -> list[Problem]:
    return [one for one in prove(_workflow(*steps, **more)) if one.code == "not-on-every-path"]


def _path(*steps: dict[str, Any], **more: Any) -> str:
    (problem,) = _refused(*steps, **more)
    found = re.search(r"as on the path (.*)\.", problem.message)
    assert found is not None, problem.message
    return found[1]


def _fork(*branches: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"id": "p", "type": "parallel", "branches": [{"steps": steps} for steps in branches], **more}


X: dict[str, Any] = {"id": "x", **COMMAND}
A: dict[str, Any] = {"id": "a", **COMMAND}
ROUND_X = [{**A, "on_failure": "end"}, X]
FAIL_ROUND_X = [{**A, "on_success": "fail"}, X]


@pytest.mark.parametrize(
    ("steps", "path"),
    [
        ([READER, X], "start → here"),
        ([{**A, "on_failure": "r"}, X, READER], "start → a fails → here"),
        (
            [{"id": "c", "type": "condition", "condition": "true", "on_false": "r"}, X, READER],
            "start → c is false → here",
        ),
        ([{**A, "on_failure": "p"}, X, _fork([READER])], "start → a fails → p begins → here"),
        ([_fork([X], [READER])], "start → p begins → here"),
        ([_fork([X], [A], join="any"), READER], "start → p succeeds by branch 2 → here"),
        ([_fork(ROUND_X, join="any"), READER], "start → p succeeds by branch 1 (a fails → end) → here"),
        ([_fork(ROUND_X), READER], "start → p succeeds (a fails → end) → here"),
        (
            [_fork(ROUND_X, [{"id": "b", **COMMAND}], on_success="end", on_failure="r"), READER],
            "start → p fails (a fails → end) → here",
        ),
        (
            [
                _fork(
                    [{**A, "on_failure": "fail"}, {**X, "on_failure": "end"}],
                    on_success="end",
                    on_failure="r",
                ),
                READER,
            ],
            "start → p fails (a fails → fail) → here",
        ),
    ],
)
def test_the_message_shows_a_path_without_the_step(steps: list[dict[str, Any]], path: str) -> None:
    assert _path(*steps) == path


def test_an_output_shows_how_the_workflow_ends_without_the_step() -> None:
    assert _path({**A, "on_failure": "end"}, X, outputs={"o": "{{step_x.stdout}}"}) == "start → a fails → end"


def test_an_identity_is_known_only_once_its_checkout_has_succeeded() -> None:
    out = {"id": "out", "type": "pam_checkout", "identity": "dba"}
    tell = {"id": "r", "type": "command", "command": "echo {{dba.username}}"}
    assert _path({**out, "on_failure": "r"}, tell) == "start → out fails → here"
    assert _refused(out, tell) == []
    other = {**out, "id": "again", "on_failure": "end"}
    assert _refused({**out, "on_success": "r", "on_failure": "again"}, other, tell) == []


def test_a_branch_that_can_not_fail_is_not_blamed_for_a_failure() -> None:
    safe = {**A, "on_failure": "end"}
    assert _refused(_fork([X], [safe], on_success="end", on_failure="r"), READER) == []


def test_a_long_path_is_cut_in_the_middle() -> None:
    many = [{"id": f"s{n}", **COMMAND} for n in range(40)]
    shown = _path(*many, READER, X)
    assert shown.count("→") == 14
    assert "→ s5 succeeds → (28 more) → s34 succeeds →" in shown


def test_paths_are_left_out_when_too_many_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness, "_MOST_HOPS", 50)
    many = [{**READER, "id": f"s{n}"} for n in range(20)]
    messages = [problem.message for problem in _refused(*many, X)]
    assert messages[0].endswith("as on the path start → here.")
    assert messages[-1].endswith("`x` may not have run.")
    assert len(messages) == 20


@st.composite
def _graphs(draw: st.DrawFn) -> Workflow:
    names = [f"s{index}" for index in range(draw(st.integers(2, 7)))]
    steps: list[dict[str, Any]] = []
    for index, name in enumerate(names):
        target = st.sampled_from([*names[index + 1 :], *TARGET_WORDS])
        read = draw(st.sampled_from(names))
        steps.append(
            {
                "id": name,
                "type": "command",
                "command": f"echo {{{{step_{read}.stdout}}}}",
                "on_success": draw(target),
                "on_failure": draw(target),
            }
        )
    return _workflow(*steps)


@settings(max_examples=300)
@given(_graphs())
def test_every_path_shown_can_be_walked_and_does_without_the_step(workflow: Workflow) -> None:
    for problem in prove(workflow):
        if problem.code != "not-on-every-path":
            continue
        reader = workflow.steps[int(problem.pointer.split("/")[2])].id
        found = re.search(r"`(\w+)` may not have run, as on the path start → (.*)here\.", problem.message)
        assert found is not None, problem.message
        frontier, ran = start(workflow).frontier, []
        for hop in filter(None, found[2].split(" → ")):
            step, how = hop.split()
            assert frontier[0].step == step, problem.message
            ran.append(step)
            outcome = Outcome.SUCCESS if how == "succeeds" else Outcome.FAILURE
            frontier = advance(workflow, frontier, frontier[0], outcome).frontier
        assert frontier[0].step == reader
        assert found[1] not in ran
