"""Secret values: kept apart from the others, and passed on in one way only."""

import pytest

from definitions.catalogue import Catalogue, ScriptFacts
from definitions.dispatch import script_payload
from definitions.parameters import Parameter, Value
from definitions.proof import prove
from definitions.script import Script
from definitions.secret_values import MASK, by_variable, given, given_again, input_of, laid_open, masked
from definitions.workflow import parse

DECLARED = (
    Parameter(name="api-key", type="secret", required=True),
    Parameter(name="plain"),
    Parameter(name="other", type="secret"),
)
VALUES: dict[str, Value] = {"api-key": "hunter2", "plain": "shown", "other": None}
INPUTS = [{"name": "s", "type": "secret"}, {"name": "t"}]


def test_what_is_kept_and_shown_of_a_secret_is_that_it_was_given() -> None:
    assert masked(DECLARED, VALUES) == {"api-key": MASK, "plain": "shown", "other": None}


def test_the_values_to_seal_are_the_secret_ones_that_were_given() -> None:
    assert given(DECLARED, VALUES) == {"api-key": "hunter2"}
    assert by_variable(DECLARED, VALUES) == {"PARAM_API_KEY_FILE": "hunter2"}


def test_what_was_not_kept_is_given_again_and_nothing_else() -> None:
    shown = masked(DECLARED, VALUES)
    assert given_again(DECLARED, shown, {"api-key": "new"}) == ({"plain": "shown", "api-key": "new"}, [])
    assert given_again(DECLARED, {"plain": None}, {}) == ({}, [])
    _, problems = given_again(DECLARED, shown, {"plain": "other", "other": "x"})
    found = {(problem.pointer, problem.code) for problem in problems}
    assert found == {
        ("/inputs/api-key", "secret-erased"),
        ("/inputs/plain", "not-given-again"),
        ("/inputs/other", "not-given-again"),
    }


def test_what_is_printed_of_secret_values_are_their_names() -> None:
    assert repr(by_variable(DECLARED, VALUES)) == "SecretValues(PARAM_API_KEY_FILE)"


def test_a_payload_names_its_secrets_and_holds_none() -> None:
    script = Script(name="s", language="bash", content="x", parameters=DECLARED)
    payload = script_payload(script, VALUES)
    assert payload.secrets == ["PARAM_API_KEY_FILE"]
    assert payload.environment == {"PARAM_PLAIN": "shown"}
    assert "hunter2" not in payload.model_dump_json()


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{{inputs.s}}", "s"),
        ("{{ inputs.s }}", "s"),
        ("{{variables.inputs.s}}", "s"),
        (" {{inputs.s}}", None),
        ("{{inputs.s}}{{inputs.s}}", None),
        ("{{inputs.s.more}}", None),
        ("{{step_s.stdout}}", None),
        ("inputs.s", None),
        (["{{inputs.s}}"], None),
        (None, None),
    ],
)
def test_an_input_alone_is_told_from_everything_else(template: Value, name: str | None) -> None:
    assert input_of(template) == name


def _found(step: dict[str, object], catalogue: Catalogue | None, **more: object) -> list[tuple[str, str]]:
    workflow, problems = parse({"name": "w", "inputs": INPUTS, "steps": [{"id": "a", **step}], **more})
    assert workflow is not None, problems
    return [(one.code, one.pointer) for one in prove(workflow, catalogue) if one.code != "not-checked"]


KNOWN = Catalogue(scripts=(ScriptFacts(1, "job", (*DECLARED,)),))


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"api-key": "{{inputs.s}}"}, []),
        ({"api-key": "literal"}, ["secret-in-definition"]),
        ({"api-key": "{{inputs.t}}"}, ["secret-in-definition"]),
        ({"api-key": "{{instance.id}}"}, ["secret-in-definition"]),
        ({"api-key": "x{{inputs.s}}"}, ["secret-misplaced", "secret-in-definition"]),
        ({"api-key": "{{inputs.s}}", "plain": "{{inputs.s}}"}, ["secret-misplaced"]),
        ({"api-key": "{{inputs.s}}", "plain": "x{{inputs.s}}"}, ["secret-misplaced"]),
        ({"api-key": "{{inputs.s}}", "plain": "{{inputs.t}}"}, []),
    ],
)
def test_a_secret_parameter_takes_a_secret_input_and_nothing_else_does(
    parameters: dict[str, object], found: list[str]
) -> None:
    step = {"type": "script", "script": "job", "parameters": parameters}
    assert [code for code, _ in _found(step, KNOWN)] == found


@pytest.mark.parametrize(
    ("step", "pointer"),
    [
        ({"type": "command", "command": "echo {{inputs.s}}"}, "/steps/0/command"),
        ({"type": "approval", "approvers": ["role:a"], "title": "{{inputs.s}}"}, "/steps/0/title"),
        ({"type": "condition", "condition": "{{inputs.s}} == 'x'"}, "/steps/0/condition"),
        ({"type": "delay", "until": "{{inputs.s}}"}, "/steps/0/until"),
    ],
)
def test_a_secret_input_stands_nowhere_else(step: dict[str, object], pointer: str) -> None:
    assert _found(step, None) == [("secret-misplaced", pointer)]


def test_a_secret_input_is_no_output_of_the_workflow() -> None:
    found = _found({"type": "command", "command": "true"}, None, outputs={"o": "{{inputs.s}}"})
    assert found == [("secret-misplaced", "/outputs/o")]


def test_what_was_given_as_a_secret_is_not_laid_open_by_a_later_version() -> None:
    before = (Parameter(name="token", type="secret"), Parameter(name="who"))
    now = (Parameter(name="token"), Parameter(name="who"))
    (problem,) = laid_open(before, now, {"token": "hunter2", "who": "all"})
    assert (problem.pointer, problem.code) == ("/inputs/token", "no-secret-any-more")
    assert "hunter2" not in problem.message
    assert laid_open(before, before, {"token": "hunter2"}) == []
