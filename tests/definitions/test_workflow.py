"""Workflows: every shape the formats page allows is read, every mistake named where it stands."""

import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from definitions.nearest import pointer_to
from definitions.problems import Problem
from definitions.reading import read
from definitions.steps import ApprovalStep, PamCheckinStep, ParallelStep
from definitions.workflow import Workflow, all_steps, parse

COMMAND: dict[str, object] = {"type": "command", "command": "true"}


def _parse(*steps: object, **more: object) -> Workflow:
    workflow, problems = parse({"name": "w", "steps": list(steps), **more})
    assert workflow is not None, problems
    assert problems == []
    return workflow


def _problems(*steps: object, **more: object) -> list[Problem]:
    workflow, problems = parse({"name": "w", "steps": list(steps), **more})
    assert workflow is None
    return problems


def _found(*steps: object, **more: object) -> list[tuple[str, str]]:
    return [(problem.code, problem.pointer) for problem in _problems(*steps, **more)]


ALL_KINDS: list[dict[str, object]] = [
    {"id": "s", "type": "script", "script": "x", "hosts": ["a", 7, "tag:x", "@engine"], "max_parallel": 2},
    {"id": "c", **COMMAND, "shell": "bash", "retries": 2, "retry_delay_seconds": 0.5, "retry_backoff": 2},
    {
        "id": "a",
        "type": "approval",
        "approvers": ["role:x", "user:5", "bob", "bob@example.org"],
        "allow_self": True,
        "timeout_minutes": 0.1,
    },
    {"id": "if", "type": "condition", "condition": "true"},
    {"id": "d", "type": "delay", "config": {"hours": 1.5}},
    {"id": "u", "type": "delay", "until": "{{inputs.x}}"},
    {"id": "out", "type": "pam_checkout", "identity": "dba", "variable_name": "v", "duration_minutes": 5},
    {"id": "in", "type": "pam_checkin", "checkout": "out"},
    {"id": "all", "type": "pam_checkin", "checkout": ["out"]},
    {
        "id": "p",
        "type": "parallel",
        "join": "any",
        "branches": [{"name": "x", "steps": [{"id": "p1", **COMMAND}]}, {"steps": [{"id": "p2", **COMMAND}]}],
    },
]


def test_all_eight_kinds_are_read_and_written_back_unchanged() -> None:
    workflow = _parse(
        *ALL_KINDS, kind="workflow", description="d", outputs={"o": "x"}, inputs=[{"name": "x"}]
    )
    document = json.loads(json.dumps(workflow.document()))
    again, problems = parse(document)
    assert problems == []
    assert again == workflow
    assert again.document() == document


def test_null_counts_as_not_given() -> None:
    workflow = _parse(
        {"id": "c", **COMMAND, "hosts": None, "config": None},
        {"id": "d", **COMMAND, "config": {"run_as": None}},
        description=None,
    )
    assert parse(workflow.document())[0] == workflow


def test_steps_are_found_by_id_in_branches_too() -> None:
    workflow = _parse(*ALL_KINDS)
    assert workflow.step("p2").id == "p2"
    assert [step.id for step in all_steps(workflow.steps)][-3:] == ["p", "p1", "p2"]
    assert workflow.place("c").index == 1
    assert (workflow.branch("p2"), workflow.branch("c")) == ("p.1/", "")
    with pytest.raises(KeyError):
        workflow.step("zz")


def test_one_checkout_may_be_named_without_a_list() -> None:
    step = _parse(ALL_KINDS[7]).steps[0]
    assert isinstance(step, PamCheckinStep)
    assert step.checkout == ("out",)


def test_a_step_is_called_by_its_name_its_title_or_its_id() -> None:
    assert _parse({"id": "c", **COMMAND, "title": "Restart"}).steps[0].label == "Restart"
    assert _parse({"id": "c", **COMMAND}).steps[0].label == "c"
    gate = _parse({"id": "a", "type": "approval", "approvers": ["role:x"], "title": "T"}).steps[0]
    assert isinstance(gate, ApprovalStep)
    assert (gate.label, gate.name, gate.title) == ("T", "", "T")


def test_saying_the_same_twice_is_no_problem() -> None:
    assert _parse({"id": "c", **COMMAND, "name": "x", "title": "x"}).steps[0].name == "x"


def test_a_field_in_config_is_pointed_at_where_it_stands() -> None:
    assert _found({"id": "d", "type": "delay", "config": {"minutes": -1}}) == [
        ("out-of-range", "/steps/0/config/minutes")
    ]


@pytest.mark.parametrize(
    ("step", "code", "place"),
    [
        (5, "wrong-type", ""),
        ({"id": "a"}, "missing-field", ""),
        ({"id": "a", "type": "scrpt"}, "unknown-kind", "/type"),
        ({"id": "a", "type": 7}, "unknown-kind", "/type"),
        ({"id": "a", "type": "teleport"}, "unknown-kind", "/type"),
        (COMMAND, "missing-field", "/id"),
        ({"id": "a b", **COMMAND}, "bad-form", "/id"),
        ({"id": "end", **COMMAND}, "reserved-id", "/id"),
        ({"id": "a", "type": "command"}, "missing-field", "/command"),
        ({"id": "a", "type": "command", "command": ""}, "empty", "/command"),
        ({"id": "a", "type": "command", "command": 5}, "wrong-type", "/command"),
        ({"id": "a", **COMMAND, "hosts": "web"}, "wrong-type", "/hosts"),
        ({"id": "a", **COMMAND, "hosts": ["", "x"]}, "empty", "/hosts/0"),
        ({"id": "a", **COMMAND, "hosts": [0]}, "out-of-range", "/hosts/0"),
        ({"id": "a", **COMMAND, "retrys": 3}, "unknown-key", "/retrys"),
        ({"id": "a", **COMMAND, "config": {"retrys": 3}}, "unknown-key", "/config/retrys"),
        ({"id": "a", **COMMAND, "config": 5}, "wrong-type", "/config"),
        ({"id": "a", **COMMAND, "config": {"id": "b"}}, "given-twice", "/config/id"),
        ({"id": "a", **COMMAND, "retries": "3"}, "wrong-type", "/retries"),
        ({"id": "a", **COMMAND, "retries": 1001}, "out-of-range", "/retries"),
        ({"id": "a", **COMMAND, "timeout_minutes": True}, "wrong-type", "/timeout_minutes"),
        ({"id": "a", **COMMAND, "timeout_minutes": 0}, "out-of-range", "/timeout_minutes"),
        ({"id": "a", **COMMAND, "name": "x" * 201}, "too-long", "/name"),
        ({"id": "a", **COMMAND, "shell": "fish"}, "unknown-word", "/shell"),
        ({"id": "a", **COMMAND, "on_success": "a b"}, "bad-form", "/on_success"),
        ({"id": "a", "type": "script", "script": 1.5}, "wrong-type", "/script"),
        ({"id": "a", "type": "script", "script": 1, "parameters": []}, "wrong-type", "/parameters"),
        ({"id": "a", "type": "script", "script": 1, "script_id": 2}, "given-twice", "/script_id"),
        ({"id": "a", "type": "approval", "approvers": []}, "empty", "/approvers"),
        ({"id": "a", "type": "approval", "approvers": ["team:bob"]}, "bad-form", "/approvers/0"),
        (
            {"id": "a", "type": "approval", "approvers": ["role:x"], "allow_self": 1},
            "wrong-type",
            "/allow_self",
        ),
        ({"id": "a", "type": "delay"}, "missing-field", ""),
        ({"id": "a", "type": "delay", "seconds": 1, "hours": 1}, "given-twice", "/hours"),
        ({"id": "a", "type": "delay", "seconds": float("inf")}, "not-json", "/seconds"),
        ({"id": "a", "type": "parallel"}, "missing-field", "/branches"),
        ({"id": "a", "type": "parallel", "branches": 5}, "wrong-type", "/branches"),
        ({"id": "a", "type": "parallel", "branches": []}, "empty", "/branches"),
        ({"id": "a", "type": "parallel", "branches": [5]}, "wrong-type", "/branches/0"),
        ({"id": "a", "type": "parallel", "branches": [{"steps": []}]}, "empty", "/branches/0/steps"),
        ({"id": "a", "type": "parallel", "branches": [{}]}, "wrong-type", "/branches/0/steps"),
    ],
)
def test_a_mistake_in_a_step_is_named_where_it_stands(step: object, code: str, place: str) -> None:
    assert _found(step) == [(code, f"/steps/0{place}")]


def test_a_branch_is_read_with_the_same_care() -> None:
    branches = [{"nam": "x", "name": 5, "steps": [{"id": "b", **COMMAND, "retries": -1}]}]
    assert _found({"id": "p", "type": "parallel", "joim": "all", "config": {"branches": branches}}) == [
        ("unknown-key", "/steps/0/joim"),
        ("unknown-key", "/steps/0/config/branches/0/nam"),
        ("wrong-type", "/steps/0/config/branches/0/name"),
        ("out-of-range", "/steps/0/config/branches/0/steps/0/retries"),
    ]


def test_an_id_is_unique_across_branches() -> None:
    branches = [{"steps": [{"id": "a", **COMMAND}]}, 5]
    found = _found({"id": "a", **COMMAND}, {"id": "p", "type": "parallel", "branches": branches}, 5)
    assert ("duplicate-id", "/steps/1/branches/0/steps/0/id") in found


def test_the_nearest_known_word_is_offered() -> None:
    fixes = {problem.pointer: problem.fix for problem in _problems(
        {"id": "a", "type": "comand", "command": "x"},
        {"id": "b", **COMMAND, "on_sucess": "end", "zzzzzzzz": 1},
        {"id": "c", "type": "approval", "approvers": ["role:x"], "approval_type": "one_of_man"},
    )}  # fmt: skip
    assert fixes["/steps/0/type"] == "Did you mean `command`?"
    assert fixes["/steps/1/on_sucess"] == "Did you mean `on_success`?"
    assert fixes["/steps/1/zzzzzzzz"].startswith("Known: id,")
    assert fixes["/steps/2/approval_type"] == "Did you mean `one_of_many`?"


def test_all_mistakes_are_found_at_once() -> None:
    workflow, problems = parse(
        {
            "kind": "script",
            "name": "7",
            "oops": 1,
            "inputs": 5,
            "outputs": {"a": 1},
            "steps": [{"id": "x"}, 5],
        }
    )
    assert workflow is None
    assert [(problem.code, problem.pointer) for problem in problems] == [
        ("wrong-kind", "/kind"),
        ("bad-name", "/name"),
        ("unknown-key", "/oops"),
        ("wrong-type", "/outputs/a"),
        ("wrong-type", "/inputs"),
        ("missing-field", "/steps/0"),
        ("wrong-type", "/steps/1"),
    ]


@pytest.mark.parametrize("document", [None, [], "x", 5, True, {1, 2}])
def test_what_is_no_object_is_no_workflow(document: object) -> None:
    workflow, problems = parse(document)
    assert workflow is None
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({}, [("missing-field", "/name"), ("missing-field", "/steps")]),
        ({"name": "w", "steps": []}, [("empty", "/steps")]),
        ({"name": "w", "steps": {}}, [("wrong-type", "/steps")]),
        ({"name": "", "steps": [{"id": "a", **COMMAND}]}, [("empty", "/name")]),
        ({"name": 5, "steps": [{"id": "a", **COMMAND}]}, [("wrong-type", "/name")]),
        ({"name": " w", "steps": [{"id": "a", **COMMAND}]}, [("bad-name", "/name")]),
        ({"name": "a/b", "steps": [{"id": "a", **COMMAND}]}, [("bad-name", "/name")]),
        ({"name": "w", 1: 2}, [("not-json", "")]),
        ({"name": "a\x00"}, [("not-json", "/name")]),
        ({"name": "a\ud800"}, [("not-json", "/name")]),
        ({"name": "w", "x": 2**63}, [("not-json", "/x")]),
        ({"name": "w", "x": {3}}, [("not-json", "/x")]),
    ],
)
def test_a_mistake_in_the_workflow_itself_is_named(document: object, found: list[tuple[str, str]]) -> None:
    assert [(problem.code, problem.pointer) for problem in parse(document)[1]] == found


def test_endless_nesting_is_refused() -> None:
    deep: object = "x"
    for _ in range(5000):
        deep = {"branches": [deep]}
    assert _found({"id": "a", "type": "parallel", "branches": deep})[0][0] == "not-json"


class _Dated(BaseModel):
    on: date


def test_what_pydantic_says_is_never_passed_on() -> None:
    made, problems = read(_Dated, {"on": "hunter2"}, "", "dated thing")
    assert made is None
    assert [(problem.code, problem.pointer) for problem in problems] == [("bad-form", "/on")]
    assert "hunter2" not in problems[0].message


def test_a_pointer_escapes_what_pointers_need() -> None:
    assert pointer_to("", "a/b", "c~d", 3) == "/a~1b/c~0d/3"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
KEYS = st.sampled_from(
    [
        "id",
        "type",
        "name",
        "title",
        "command",
        "script",
        "script_id",
        "hosts",
        "config",
        "seconds",
        "branches",
        "steps",
        "approvers",
    ]
)
TYPES = st.sampled_from(
    ["script", "command", "approval", "conditional", "delay", "parallel", "pam_checkin", "x"]
)


@given(
    steps=st.lists(st.dictionaries(KEYS, JSON) | JSON, max_size=4),
    kinds=st.lists(TYPES, min_size=4, max_size=4),
    more=st.dictionaries(st.sampled_from(["name", "inputs", "outputs", "kind", "x"]), JSON),
)
def test_no_document_crashes_the_parser_and_what_it_reads_it_can_read_again(
    steps: list[object], kinds: list[str], more: dict[str, object]
) -> None:
    typed = [
        {**step, "type": kind} if isinstance(step, dict) else step
        for step, kind in zip(steps, kinds, strict=False)
    ]
    workflow, problems = parse({"name": "w", "steps": typed, **more})
    assert (workflow is None) == any(problem.severity == "error" for problem in problems)
    if workflow is not None:
        assert parse(workflow.document()) == (workflow, [])


@given(JSON)
def test_anything_at_all_is_a_workflow_or_a_list_of_problems(document: object) -> None:
    workflow, problems = parse(document)
    assert (workflow is None) == bool(problems)


@given(st.sampled_from(ALL_KINDS), st.data())
def test_no_value_in_a_known_field_crashes_the_parser(step: dict[str, object], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(step)))
    workflow, problems = parse({"name": "w", "steps": [{**step, key: data.draw(JSON)}]})
    assert (workflow is None) == bool(problems)
    assert all("pydantic" not in problem.message and problem.fix for problem in problems)


def test_a_parallel_step_keeps_its_branches() -> None:
    step = _parse(ALL_KINDS[-1]).steps[0]
    assert isinstance(step, ParallelStep)
    assert [branch.name for branch in step.branches] == ["x", ""]
