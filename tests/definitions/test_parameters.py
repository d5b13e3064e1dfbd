"""Parameters: coercion, defaults, limits, and what reaches the environment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.payloads import MAX_VALUE_BYTES, ScriptPayload
from definitions.declarations import read_parameters
from definitions.errors import Invalid
from definitions.parameters import Parameter, ParameterType, Value, bind, bound, environment
from definitions.secret_values import by_variable

TYPES: tuple[ParameterType, ...] = ("string", "integer", "number", "boolean", "choice", "secret")


def _bind(kind: ParameterType, value: object, **more: object) -> Value:
    parameter = Parameter.model_validate({"name": "p", "type": kind, **more})
    values, problems = bind([parameter], {"p": value}, "/parameters")
    assert not problems, problems
    return values["p"]


@pytest.mark.parametrize(
    ("kind", "given_value", "bound"),
    [
        ("string", "x", "x"),
        ("string", 90, "90"),
        ("string", 1.5, "1.5"),
        ("string", True, "true"),
        ("integer", "90", 90),
        ("integer", " -3 ", -3),
        ("integer", 4.0, 4),
        ("number", "1e3", 1000.0),
        ("number", "7", 7),
        ("number", 2, 2),
        ("number", 2.5, 2.5),
        ("boolean", True, True),
        ("boolean", "False", False),
        ("secret", "s3cret", "s3cret"),
    ],
)
def test_a_value_is_coerced_to_the_declared_type(
    kind: ParameterType, given_value: object, bound: Value
) -> None:
    result = _bind(kind, given_value)
    assert result == bound
    assert type(result) is type(bound)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", ["x"]),
        ("string", float("nan")),
        ("string", "nul\x00"),
        ("string", "half \ud800"),
        ("string", "x" * (MAX_VALUE_BYTES + 1)),
        ("integer", "1.5"),
        ("integer", True),
        ("integer", 2**63),
        ("integer", "9" * 5000),
        ("number", "nan"),
        ("number", "1" * 200),
        ("number", True),
        ("number", "1e999"),
        ("boolean", 1),
        ("boolean", "yes"),
        ("choice", "c"),
        ("choice", ["a"]),
    ],
)
def test_a_value_that_does_not_fit_is_a_problem_that_does_not_repeat_it(
    kind: ParameterType, value: object
) -> None:
    parameter = Parameter(name="p", type=kind, choices=("a", "b") if kind == "choice" else ())
    _, problems = bind([parameter], {"p": value}, "/parameters")
    assert [problem.pointer for problem in problems] == ["/parameters/p"]
    assert repr(value)[:20] not in problems[0].message


def test_a_choice_keeps_the_type_of_the_choice() -> None:
    assert _bind("choice", "2", choices=[1, 2]) == 2
    assert _bind("choice", 1, choices=[1, 2]) == 1


def test_true_is_not_the_choice_one() -> None:
    assert _bind("choice", True, choices=[1, True]) is True


def test_whose_values_are_wrong_is_said_with_every_problem() -> None:
    parameters = [
        Parameter(name="limit", type="integer", required=True),
        Parameter(name="on", type="boolean"),
    ]
    assert bound(parameters, {"limit": "5"}, "inputs", "deploy") == {"limit": 5, "on": None}
    with pytest.raises(Invalid, match="The inputs of 'deploy' are not valid") as refused:
        bound(parameters, {"on": "maybe", "off": 1}, "inputs", "deploy")
    pointers = [problem.pointer for problem in refused.value.problems]
    assert sorted(pointers) == ["/inputs/limit", "/inputs/off", "/inputs/on"]


def test_defaults_are_coerced_too() -> None:
    assert bind([Parameter(name="p", type="integer", default="90")], {}, "")[0] == {"p": 90}


def test_a_parameter_that_is_not_given_is_none() -> None:
    assert bind([Parameter(name="p")], {"p": None}, "")[0] == {"p": None}


def test_a_required_parameter_must_be_given() -> None:
    _, problems = bind([Parameter(name="p", required=True)], {}, "/inputs")
    assert [(problem.code, problem.pointer) for problem in problems] == [("missing-parameter", "/inputs/p")]


def test_a_name_nobody_declared_is_a_problem_with_the_nearest_known() -> None:
    _, problems = bind([Parameter(name="threshold")], {"treshold": 1}, "/inputs")
    assert problems[0].fix == "Did you mean `threshold`?"


def test_a_name_unlike_any_other_lists_the_known() -> None:
    assert bind([Parameter(name="p")], {"zzz": 1}, "")[1][0].fix == "Known: p."
    assert bind([], {"zzz": 1}, "")[1][0].fix == "Remove it: there are none."


def test_values_reach_the_script_by_name() -> None:
    parameters = [Parameter(name="dry-run", type="boolean"), Parameter(name="size"), Parameter(name="none")]
    assert environment(parameters, {"dry-run": True, "size": "5", "none": None}) == {
        "PARAM_DRY_RUN": "true",
        "PARAM_SIZE": "5",
    }


def test_a_secret_never_reaches_the_environment() -> None:
    assert environment([Parameter(name="p", type="secret")], {"p": "hunter2"}) == {}


def test_a_value_the_environment_can_not_hold_is_refused() -> None:
    with pytest.raises(Invalid, match="NUL"):
        environment([Parameter(name="p")], {"p": "a\x00b"})


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,20}", fullmatch=True)
ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())


@given(name=NAMES, kind=st.sampled_from(TYPES), value=ANYTHING)
def test_whatever_is_given_is_bound_or_a_problem_and_what_is_bound_can_be_sent(
    name: str, kind: ParameterType, value: object
) -> None:
    parameter = Parameter(name=name, type=kind, choices=("a", 1))
    values, problems = bind([parameter], {name: value}, "")
    assert bool(problems) != (name in values)
    if not problems:
        ScriptPayload(
            language="bash",
            content="x",
            environment=environment([parameter], values),
            secrets=tuple(by_variable([parameter], values)),
        )


@pytest.mark.parametrize(
    ("document", "code", "pointer"),
    [
        ("x", "wrong-type", "/p"),
        ([5], "wrong-type", "/p/0"),
        ([{"type": "string"}], "missing-field", "/p/0/name"),
        ([{"name": "1x"}], "bad-form", "/p/0/name"),
        ([{"name": "x\n"}], "bad-form", "/p/0/name"),
        ([{"name": "x", "type": "int"}], "unknown-word", "/p/0/type"),
        ([{"name": "x", "required": "yes"}], "wrong-type", "/p/0/required"),
        ([{"name": "a-b"}, {"name": "a_b"}], "name-clash", "/p/1/name"),
        ([{"name": "a", "type": "secret"}, {"name": "a_file"}], "name-clash", "/p/1/name"),
        ([{"name": f"s{n}", "type": "secret"} for n in range(65)], "too-many-secrets", "/p"),
        ([{"name": "a"}, {"name": "a"}], "duplicate-name", "/p/1/name"),
        ([{"name": "a", "type": "choice"}], "no-choices", "/p/0/choices"),
        ([{"name": "a", "choices": ["x"]}], "unused-choices", "/p/0/choices"),
        ([{"name": "a", "type": "integer", "default": "x"}], "bad-default", "/p/0/default"),
        ([{"name": "a", "type": "secret", "default": "x"}], "secret-default", "/p/0/default"),
    ],
)
def test_a_bad_declaration_is_named_where_it_stands(document: object, code: str, pointer: str) -> None:
    _, problems = read_parameters(document, "/p")
    assert [(problem.code, problem.pointer) for problem in problems] == [(code, pointer)]


def test_good_declarations_are_read() -> None:
    assert read_parameters(None, "/p") == ((), [])
    parameters, problems = read_parameters(
        [{"name": "a", "type": "choice", "choices": ["x"], "default": "x"}, {"name": "b", "default": None}],
        "/p",
    )
    assert not problems
    assert [parameter.name for parameter in parameters] == ["a", "b"]
