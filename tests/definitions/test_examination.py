"""Examination: problems of shape and of proof, together."""

import pytest

from definitions.catalogue import Catalogue
from definitions.examination import examine, read_workflow

COMMAND: dict[str, object] = {"type": "command", "command": "true"}
BAD: dict[str, object] = {"type": "command"}


def _found(*steps: object, **more: object) -> list[tuple[str, str]]:
    workflow, problems = examine({"name": "w", "steps": list(steps), **more}, Catalogue())
    assert workflow is None
    return [(problem.code, problem.pointer) for problem in problems]


def test_a_sound_document_gives_its_workflow_and_the_proof() -> None:
    workflow, problems = examine({"name": "w", "steps": [{"id": "a", **COMMAND, "on_success": "zz"}]})
    assert workflow is not None
    assert [problem.code for problem in problems] == ["unknown-target"]


def test_a_step_that_can_not_be_read_hides_no_problem_of_the_others() -> None:
    found = _found(
        {"id": "a", **BAD},
        {"id": "b", **COMMAND, "retrys": 1, "on_success": "zz"},
        {"id": "c", **COMMAND, "command": "echo {{step_a.stdout}} {{step_zz.stdout}}", "on_success": "a"},
    )
    assert found == [
        ("missing-field", "/steps/0/command"),
        ("unknown-key", "/steps/1/retrys"),
        ("unknown-target", "/steps/1/on_success"),
        ("unknown-reference", "/steps/2/command"),
    ]


def test_nothing_is_said_that_hangs_on_what_can_not_be_read() -> None:
    found = _found({**BAD}, 5, {"id": "b", **COMMAND, "command": "echo {{step_x.stdout}}", "on_success": "y"})
    assert [code for code, _ in found] == ["missing-field", "missing-field", "wrong-type"]


def test_ids_inside_a_step_that_can_not_be_read_exist() -> None:
    branches = [{"steps": [{"id": "in", **BAD}, {"id": "b", **COMMAND}]}]
    found = _found(
        {"id": "p", "type": "parallel", "branches": branches},
        {"id": "b", **COMMAND, "command": "echo {{step_in.stdout}} {{inputs.x}}"},
    )
    assert ("unknown-reference", "/steps/1/command") in found
    assert len([code for code, _ in found if code == "unknown-reference"]) == 1


def test_a_step_whose_id_is_taken_is_proved_too() -> None:
    found = _found({"id": "a", **COMMAND}, {"id": "a", **COMMAND, "on_success": "zz"})
    assert found == [("duplicate-id", "/steps/1/id"), ("unknown-target", "/steps/1/on_success")]


@pytest.mark.parametrize(
    ("more", "codes"),
    [
        ({"zz": 1}, ["unknown-key", "unknown-reference"]),
        ({"outputs": 5}, ["wrong-type", "unknown-reference"]),
        ({"inputs": [{"name": 5}]}, ["wrong-type"]),
        (
            {"outputs": {"a": 1, "b": "{{step_q.stdout}}"}},
            ["wrong-type", "unknown-reference", "unknown-reference"],
        ),
    ],
)
def test_what_is_wrong_beside_the_steps_hides_none_of_theirs(
    more: dict[str, object], codes: list[str]
) -> None:
    found = _found({"id": "a", **COMMAND, "command": "echo {{inputs.x}}"}, **more)
    assert [code for code, _ in found] == codes


@pytest.mark.parametrize(
    "document", [5, {"name": "w"}, {"name": "w", "steps": []}, {"name": "w", "steps": 5}]
)
def test_without_steps_there_is_nothing_to_prove(document: object) -> None:
    reading = read_workflow(document)
    assert reading.provable is None
    assert reading.prove() == list(reading.problems) != []
