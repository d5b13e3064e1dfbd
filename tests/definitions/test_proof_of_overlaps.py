"""The proof of two checkouts at once: a name is one identity, and what is held is not waited for."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from definitions import witness
from definitions.catalogue import Catalogue, IdentityFacts
from definitions.problems import Problem
from definitions.proof import prove
from definitions.routing import ENDINGS, Outcome, advance, start
from definitions.steps import PamCheckinStep, PamCheckoutStep, Step
from definitions.workflow import Workflow, parse

KNOWN = Catalogue(
    identities=(
        IdentityFacts(1, "alice"),
        IdentityFacts(2, "bob"),
        IdentityFacts(3, "one", exclusive=True),
    )
)
ALICE: dict[str, Any] = {"id": "a", "type": "pam_checkout", "identity": "alice", "variable_name": "acct"}
BOB: dict[str, Any] = {**ALICE, "id": "b", "identity": "bob"}
ONE: dict[str, Any] = {"id": "a", "type": "pam_checkout", "identity": "one"}
AGAIN: dict[str, Any] = {**ONE, "id": "b"}
IN: dict[str, Any] = {"id": "in", "type": "pam_checkin"}
ASK: dict[str, Any] = {"id": "c", "type": "condition", "condition": "true", "on_true": "a", "on_false": "b"}
X: dict[str, Any] = {"id": "x", "type": "command", "command": "true"}


def _workflow(*steps: dict[str, Any]) -> Workflow:
    workflow, problems = parse({"name": "w", "steps": list(steps)})
    assert workflow is not None, problems
    return workflow


def _proved(*steps: dict[str, Any], known: Catalogue = KNOWN) -> list[Problem]:
    return [one for one in prove(_workflow(*steps), known) if one.severity == "error"]


def _codes(*steps: dict[str, Any], known: Catalogue = KNOWN) -> list[tuple[str, str]]:
    return [(problem.code, problem.pointer) for problem in _proved(*steps, known=known)]


def _fork(*branches: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"id": "p", "type": "parallel", "branches": [{"steps": steps} for steps in branches], **more}


def _both(other: dict[str, Any], again: dict[str, Any]) -> list[tuple[list[dict[str, Any]], str, str]]:
    """Where the second of two may find the first open: the place of it, and a path that shows it."""
    leaps = {**X, "on_failure": "b"}
    late = {"timeout_minutes": 1, "on_failure": "continue"}
    return [
        ([other, again], "/steps/1", "a succeeds"),
        ([other, X, leaps | {"id": "y"}, IN, again], "/steps/4", "a succeeds → x succeeds → y fails"),
        ([{**other, "on_failure": "b"}, again], "/steps/1", "a succeeds"),
        ([other, _fork([again])], "/steps/1/branches/0/steps/0", "a succeeds → p begins"),
        (
            [_fork([_fork([X, other, again]) | {"id": "q"}])],
            "/steps/0/branches/0/steps/0/branches/0/steps/2",
            "p begins → q begins → x succeeds → a succeeds",
        ),
        (
            [_fork([other], [X, again])],
            "/steps/0/branches/1/steps/1",
            "p begins → meanwhile branch 1 (a succeeds) → x succeeds",
        ),
        (
            [_fork([other], [_fork([again]) | {"id": "q"}])],
            "/steps/0/branches/1/steps/0/branches/0/steps/0",
            "p begins → meanwhile branch 1 (a succeeds) → q begins",
        ),
        ([_fork([other], [X]), again], "/steps/1", "p succeeds (a succeeds → end)"),
        (
            [_fork([other, {**X, "on_success": "fail"}], on_failure="continue"), again],
            "/steps/1",
            "p fails (a succeeds → x succeeds → fail)",
        ),
        ([_fork([other, IN], [X], join="any"), again], "/steps/1", "p succeeds (a succeeds)"),
        ([_fork([other, IN], **late), again], "/steps/1", "p fails (a succeeds)"),
        (
            [other, _fork([IN], [X], join="any"), again],
            "/steps/2",
            "a succeeds → p succeeds by branch 2",
        ),
        (
            [other, _fork([{**X, "on_failure": "end"}, IN]), again],
            "/steps/2",
            "a succeeds → p succeeds (x fails → end)",
        ),
        (
            [other, _fork([{**X, "on_failure": "b"}, IN, again])],
            "/steps/1/branches/0/steps/2",
            "a succeeds → p begins → x fails",
        ),
    ]


@pytest.mark.parametrize(("steps", "where", "path"), _both(ALICE, BOB))
def test_a_name_is_given_to_one_identity_at_a_time(
    steps: list[dict[str, Any]], where: str, path: str
) -> None:
    found = [one for one in _proved(*steps) if one.code == "one-name-for-two"]
    assert [one.pointer for one in found] == [f"{where}/variable_name"]
    assert "`acct` may still be the identity `alice`, checked out by `a`, when it becomes" in found[0].message
    assert not path or found[0].message.endswith(f", as on the path start → {path} → here.")


@pytest.mark.parametrize(("steps", "where", "path"), _both(ONE, AGAIN))
def test_an_exclusive_identity_is_not_waited_for_where_it_may_be_held(
    steps: list[dict[str, Any]], where: str, path: str
) -> None:
    found = [one for one in _proved(*steps) if one.code == "waits-for-itself"]
    assert [one.pointer for one in found][-1:] == [f"{where}/identity"]
    assert not path or found[-1].message.endswith(
        f"by `a`: it would wait for itself, as on the path start → {path} → here."
    )


ALONE = [
    lambda first, then: [ASK, {**first, "on_success": "x"}, then, X],
    lambda first, then: [first, IN, then],
    lambda first, then: [first, {**IN, "checkout": "a"}, then],
    lambda first, then: [{**first, "on_success": "x", "on_failure": "b"}, then, X],
    lambda first, then: [first, _fork([IN]), then],
    lambda first, then: [first, _fork([X], [IN]), then],
    lambda first, then: [first, IN, _fork([then], [X])],
    lambda first, then: [first, _fork([IN, then], [X])],
    lambda first, then: [_fork([first, IN], [X]), then],
    lambda first, then: [_fork([first, X, {**IN, "on_success": "end"}], on_failure="fail"), then],
    lambda first, then: [{**first, "on_success": "cancelled", "on_failure": "b"}, then],
]


@pytest.mark.parametrize("steps", [case(ALICE, BOB) for case in ALONE])
def test_of_two_that_are_never_open_together_either_may_be_meant(steps: list[dict[str, Any]]) -> None:
    assert "one-name-for-two" not in {code for code, _ in _codes(*steps)}


@pytest.mark.parametrize("steps", [case(ONE, AGAIN) for case in ALONE])
def test_an_exclusive_identity_may_be_checked_out_again_once_it_is_free(steps: list[dict[str, Any]]) -> None:
    assert "waits-for-itself" not in {code for code, _ in _codes(*steps)}


def test_a_variable_is_not_named_like_another_identity_that_is_open() -> None:
    named = {**ALICE, "variable_name": "bob"}
    plain = {"id": "b", "type": "pam_checkout", "identity": "bob"}
    assert _codes(named, plain) == [("one-name-for-two", "/steps/1/identity")]
    assert _codes(plain, named) == [("one-name-for-two", "/steps/1/variable_name")]
    assert _codes(named, IN, plain) == []


def test_paths_are_left_out_when_too_many_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness, "_MOST_HOPS", 100)
    others = [{**ALICE, "id": f"o{number}", "identity": f"i{number}"} for number in range(20)]
    messages = [problem.message for problem in _proved(*others, known=Catalogue())]
    assert len(messages) == 19
    assert messages[0].endswith("becomes `i1` here, as on the path start → o0 succeeds → here.")
    assert messages[-1].endswith("becomes `i19` here.")


def test_a_target_that_there_is_not_hides_nothing_else() -> None:
    assert _codes({**ALICE, "on_failure": "nowhere"}, BOB) == [
        ("unknown-target", "/steps/0/on_failure"),
        ("one-name-for-two", "/steps/1/variable_name"),
    ]


def test_one_identity_may_have_a_name_twice() -> None:
    assert _codes(ALICE, {**ALICE, "id": "again"}) == []
    assert _codes(ALICE, {**ALICE, "id": "again", "identity": 1}) == []
    assert _codes(_fork([ALICE], [{**ALICE, "id": "again"}])) == []


def test_whose_id_it_is_only_a_server_knows() -> None:
    by_id = {**BOB, "identity": 2}
    assert _codes(ALICE, by_id) == [("one-name-for-two", "/steps/1/variable_name")]
    assert _codes(ALICE, by_id, known=Catalogue()) == []
    assert _codes({**ALICE, "identity": 1}, by_id, known=Catalogue()) == [
        ("one-name-for-two", "/steps/1/variable_name")
    ]


@st.composite
def _graphs(draw: st.DrawFn) -> Workflow:
    names = [f"s{index}" for index in range(draw(st.integers(2, 6)))]
    outs: list[str] = []
    steps: list[dict[str, Any]] = []
    for index, name in enumerate(names):
        onward = st.sampled_from([*names[index + 1 :], "end", "fail", "cancelled"])
        fields: dict[str, Any] = {"id": name, "on_success": draw(onward), "on_failure": draw(onward)}
        if draw(st.integers(0, 2)):
            identity = draw(st.sampled_from(["alice", "bob", "one"]))
            fields |= {"type": "pam_checkout", "identity": identity, "variable_name": "acct"}
            outs.append(name)
        else:
            some = draw(st.lists(st.sampled_from(outs), max_size=1)) if outs else []
            fields |= {"type": "pam_checkin", "checkout": some}
        steps.append(fields)
    return _workflow(*steps)


def _after(step: Step, outcome: Outcome, opened: frozenset[str]) -> frozenset[str]:
    if isinstance(step, PamCheckinStep):
        return opened - set(step.checkout or opened)
    return opened | {step.id} if outcome is Outcome.SUCCESS else opened


def _walks(workflow: Workflow) -> Iterator[tuple[PamCheckoutStep, frozenset[str]]]:
    """Each checkout as it is come to on some walk, with the checkouts that are open then."""
    waiting = [(start(workflow).frontier, frozenset[str]())]
    while waiting:
        frontier, opened = waiting.pop()
        step = workflow.step(frontier[0].step)
        if isinstance(step, PamCheckoutStep):
            yield step, opened
        for outcome in (Outcome.SUCCESS, Outcome.FAILURE):
            moved = advance(workflow, frontier, frontier[0], outcome)
            if moved.target not in ENDINGS:
                waiting.append((moved.frontier, _after(step, outcome, opened)))


@settings(max_examples=300, deadline=None)
@given(_graphs())
def test_it_is_refused_exactly_when_some_walk_comes_to_it_with_the_other_open(workflow: Workflow) -> None:
    two, waits = set[str](), set[str]()
    for step, opened in _walks(workflow):
        held = {workflow.step(each).identity for each in opened}  # type: ignore[union-attr]
        two |= {step.id} if held - {step.identity} else set()
        waits |= {step.id} if step.identity == "one" and "one" in held else set()
    found = prove(workflow, KNOWN)

    def told(code: str) -> set[str]:
        return {workflow.steps[int(one.pointer.split("/")[2])].id for one in found if one.code == code}

    assert (told("one-name-for-two"), told("waits-for-itself")) == (two, waits)
    for one in found:
        if one.code in ("one-name-for-two", "waits-for-itself"):
            _walk_shown(workflow, one)


def _walk_shown(workflow: Workflow, problem: Problem) -> None:
    """The path of the message leads to the step, with the other checkout open."""
    shown = re.search(r"by `(\w+)`.* as on the path start → (.*)here\.", problem.message)
    assert shown is not None, problem.message
    frontier, opened = start(workflow).frontier, frozenset[str]()
    for hop in filter(None, shown[2].split(" → ")):
        assert hop.split()[0] == frontier[0].step, problem.message
        outcome = Outcome.SUCCESS if hop.endswith("succeeds") else Outcome.FAILURE
        opened = _after(workflow.step(frontier[0].step), outcome, opened)
        frontier = advance(workflow, frontier, frontier[0], outcome).frontier
    assert frontier[0].step == workflow.steps[int(problem.pointer.split("/")[2])].id
    assert shown[1] in opened
