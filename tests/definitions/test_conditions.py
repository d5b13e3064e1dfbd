"""Conditions: answers, typed errors, and values that never become part of the expression."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from definitions.conditions import ConditionFailed, check, evaluate
from definitions.parameters import Value
from definitions.references import Reference
from definitions.variables import HostFacts, Scope, StepFacts, Unresolved, scope

STDOUT = '{"d": 41, "l": [1, 2], "s": "x", "o": {"k": 1}, "f": 2.0, "big": 9007199254740993, "n": null}'


def _scope(value: Value = None) -> Scope:
    return scope(
        inputs={"t": 90, "s": "90", "f": 1.5, "b": True, "n": None, "v": value},
        instance={"id": 1},
        results={"a": StepFacts(hosts=(HostFacts(host="web.1", stdout=STDOUT, exit_code=0),))},
    )


ANSWERS = [
    ("{{step_a.exit_code}} == 0", True),
    ("{{step_a.json.d}} < {{inputs.t}}", True),
    ('"{{step_a.json.d}}" < {{inputs.t}}', True),
    ("'{{inputs.s}}' == '90'", True),
    ("{{inputs.t}} == 90.0", True),
    ("{{inputs.t}} > 1.5 && {{inputs.t}} >= 90u", True),
    ("{{inputs.t}} + 0.5 == 90.5", True),
    ("{{inputs.t}} -1 == 89", True),
    ("-{{inputs.t}} == -90", True),
    ("{{inputs.t}} % 7 == 6", True),
    ("1.0 - {{inputs.f}} == -0.5", True),
    ("{{inputs.f}} * 2 == 3", True),
    ("7 / 2 == 3.5", True),
    ("{{step_a.json.big}} == 9007199254740992", False),
    ("{{inputs.b}}", True),
    ("!{{inputs.b}} || {{inputs.s}} != '91'", True),
    ("false && {{inputs.t}}", False),
    ("{{inputs.n}} == null && {{inputs.t}} != null", True),
    ("{{inputs.n}} == 1", False),
    ("{{step_a.json.l}} == [1.0, 2]", True),
    ("{{step_a.json.l}} == [1]", False),
    ("{{step_a.json.o}} == {'k': 1.0}", True),
    ("{{step_a.json.o}} == {'j': 1}", False),
    ("{{step_a.json.l}} + [3] == [1, 2, 3]", True),
    ("1.0 in {{step_a.json.l}}", True),
    ("5 in {{step_a.json.l}}", False),
    ("1 in ['a', 1]", True),
    ("'k' in {{step_a.json.o}}", True),
    ("{{step_a.json}}.o.k == 1", True),
    ("has({{step_a.json}}.d)", True),
    ("{{step_a.json.l}}.exists(i, i > 1)", True),
    ("{{step_a.json.l}}[0] == 1", True),
    ("size({{inputs.s}}) == 2", True),
    ("{{inputs.s}} + '1' == '901'", True),
    ("{{inputs.s}}.matches('9.')", True),
    ("{{inputs.t}} > 5 ? true : false", True),
    ("type({{inputs.t}}) == int", True),
    ("'a' < 'b'", True),
    ("timestamp('2026-01-01T00:00:00Z') < timestamp('2027-01-01T00:00:00Z')", True),
    (
        "timestamp('2026-01-01T00:00:01Z') - timestamp('2026-01-01T00:00:00Z') == duration('1s')",
        True,
    ),
    ("{{step_late.exit_code}} == null && {{step_late.stdout}} == ''", True),
    ("{{step_a.hosts.web.1.json.d}} == 41", True),
    ("{{inputs.t}} == 90 // a comment", True),
    ("'it\\'s {}' != '''x''' && {{inputs.b}}", True),
    ("{{inputs.t}} == {{inputs.t}}", True),
]


@pytest.mark.parametrize(("condition", "answer"), ANSWERS)
def test_a_condition_is_answered(condition: str, answer: bool) -> None:
    assert check(condition) == []
    assert evaluate(condition, _scope()) is answer


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("{{inputs.s}} == 90", "compares a text with a number"),
        ("{{inputs.b}} == 1", "compares a boolean with a number"),
        ("{{inputs.n}} < 1", "compares null with a number"),
        ("{{inputs.b}} < {{inputs.b}}", "compares a boolean with a boolean"),
        ("'a' in {{step_a.json.l}}", "compares a number with a text"),
        ("1 in {{inputs.s}}", "looks for a number in a text"),
        ("{{inputs.t}} + {{inputs.s}} == 1", "calculates `+` with a number and a text"),
        ("{{inputs.s}} - {{inputs.s}} == 1", "calculates `-` with a text and a text"),
        ("{{step_a.json.o}} == {{step_a.json.l}}", "compares an object with a list"),
        ("timestamp('2026-01-01T00:00:00Z') == 1", "compares a time with a number"),
        ("b'a' == 1", "compares another type with a number"),
        ("{{inputs.t}}", "gives a number"),
        ("{{inputs.t}} && true", "takes a number for true or false"),
        ("!{{inputs.t}}", "takes a number for true or false"),
        ("!({{inputs.t}} == 'a')", "compares a number with a text"),
        ("({{inputs.t}} == 'a') == true", "compares a number with a text"),
        ("({{inputs.t}} < 'a') < 1", "compares a number with a text"),
        ("({{inputs.t}} + 'a') + 1 == 1", "calculates `+`"),
        ("({{inputs.t}} + 'a') in [1]", "calculates `+`"),
        ("1 / 0 == 1", "divides by zero"),
        ("{{step_a.json}}.zz == 1", "not there"),
        ("{{step_a.json.l}}[7] == 1", "not there"),
        ("9223372036854775807 + 1 > 0", "too large"),
        ("{{inputs.t}} +", "not a CEL expression"),
        ("{{inputs.t}}{{inputs.t}}", "not a CEL expression"),
        ("'a {{inputs.s}}' == 'b'", "inside a text"),
        ("true // {{inputs.s}}", "comment"),
        ("1" * 2001, "longer than 2000"),
        ("(" * 900 + "true" + ")" * 900, "evaluated"),
        ("[1].all(i, [2].exists(j, i < j))", "inside another"),
        ("{{inputs.s}}.matches('(')", "can't be evaluated"),
        ("{{inputs.t}}.matches('9')", "can't be evaluated"),
        ("'a'.matches({{inputs.t}})", "can't be evaluated"),
        ("[1, 2, 3].exists(i, i == 'a')", "compares a number with a text"),
        ("[1, 2, 3].all(i, i)", "takes a number for true or false"),
        (" || ".join(["1 == 'a'"] * 100), "compares a number with a text"),
        (f"[{'1, ' * 99}1].all(i, i == 'a')", "compares a number with a text"),
        ("opsgate_v1 == 1 && {{inputs.t}} == 90", "not there"),
    ],
)
def test_a_condition_without_an_answer_fails_in_words(condition: str, words: str) -> None:
    with pytest.raises(ConditionFailed) as caught:
        evaluate(condition, _scope())
    assert words in str(caught.value)


def test_a_reference_without_a_value_fails_the_condition() -> None:
    with pytest.raises(Unresolved):
        evaluate("{{step_a.json.zz}} == 1", _scope())


def test_a_condition_never_decides_by_the_beginning_of_an_output() -> None:
    host = HostFacts(host="h", stdout="ok", exit_code=0, truncated={"stdout": 8192})
    cut = scope(inputs={}, instance={}, results={"a": StepFacts(hosts=(host,))})
    assert evaluate("{{step_a.exit_code}} == 0", cut)
    for reference in ("{{step_a.stdout}}", "{{step_a.hosts.h.stdout}}"):
        with pytest.raises(Unresolved, match="h printed more than 8 KiB"):
            evaluate(f"{reference} == 'ok'", cut)


def test_a_number_too_large_for_cel_becomes_a_fraction() -> None:
    assert evaluate("{{inputs.v}} > 1", _scope(2**70))


VALUES = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False) | st.text()


@given(left=VALUES, right=VALUES)
def test_equality_is_pythons_within_a_type_and_an_error_across(left: Value, right: Value) -> None:
    bound = scope(inputs={"l": left, "r": right}, instance={}, results={})
    numbers = [isinstance(value, int | float) and not isinstance(value, bool) for value in (left, right)]
    kinds = {"number" if number else type(v) for v, number in zip((left, right), numbers, strict=True)}
    if len(kinds) == 1 or left is None or right is None:
        assert evaluate("{{inputs.l}} == '{{inputs.r}}'", bound) is (left == right)
    else:
        with pytest.raises(ConditionFailed, match="compares"):
            evaluate("{{inputs.l}} == '{{inputs.r}}'", bound)


@given(st.text())
def test_the_text_of_a_value_is_never_read_as_an_expression(text: str) -> None:
    for hostile in (text, f"' || true || '{text}", '" == "" || "a" == "a'):
        assert evaluate("'{{inputs.v}}' == 'never this'", _scope(hostile)) is (hostile == "never this")


PIECES = [
    "{{inputs.t}}",
    "{{inputs.s}}",
    "{{step_a.json}}",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "==",
    "<",
    "&&",
    "||",
    "!",
    "+",
    "-",
    ".",
    ",",
    "'",
    '"',
    "1",
    "x",
    "true",
    "null",
    "?",
    ":",
]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=12).map(" ".join))
def test_no_condition_crashes_and_none_leaks_a_value(condition: str) -> None:
    bound = scope(inputs={"t": 1, "s": "hunter2"}, instance={}, results={})
    check(condition)
    try:
        evaluate(condition, bound)
    except (ConditionFailed, Unresolved) as error:
        said = str(error)
    else:
        said = ""
    assert "hunter2" not in said


def _kind(reference: Reference) -> str | None:
    return {"t": "number", "s": "text", "b": "boolean"}.get(reference.path[-1])


@pytest.mark.parametrize(
    ("condition", "code", "words"),
    [
        ("{{inputs.s}} == 90", "type-mismatch", "compares a text with a number"),
        ("({{inputs.s}}) < 1.5 || true", "type-mismatch", "compares a text with a number"),
        ("{{inputs.t}} < null", "type-mismatch", "compares a number with null"),
        ("{{inputs.b}} < true", "type-mismatch", "which of two is larger"),
        ("({{inputs.t}} == 1) == 1", "type-mismatch", "compares a boolean with a number"),
        ("{{inputs.s}}", "type-mismatch", "gives a text"),
        ("null", "type-mismatch", "gives null"),
        ("1 * 2 == '2'", "type-mismatch", "compares a number with a text"),
        ("status == 1", "unknown-name", "`status`"),
        (".status == 1", "unknown-name", "`status`"),
        ("[1].exists(i, j == 1)", "unknown-name", "`j`"),
        ("{{inputs.t} == 1", "bad-reference", "no reference"),
        ("{{inputs.t}} ==", "bad-condition", "not a CEL expression"),
        ("'{{inputs.s}}!' == ''", "bad-condition", "inside a text"),
        ("1" * 2001, "too-long", "2000"),
        ("[1].all(i, [2].exists(j, i < j))", "too-much-work", "`exists` stands inside another"),
        ("[1].map(i, [i].filter(j, true)) == [[1]]", "too-much-work", "`filter` stands inside another"),
        (f"1 in [{'1, ' * 100}1]", "too-much-work", "101 entries"),
        (f"size({{{', '.join(f'{n}: 1' for n in range(101))}}}) == 1", "too-much-work", "101 entries"),
        ("opsgate_v1 == {{inputs.t}}", "unknown-name", "`opsgate_v1`"),
    ],
)
def test_what_can_be_said_without_values_is_said(condition: str, code: str, words: str) -> None:
    problems = check(condition, _kind)
    assert [problem.code for problem in problems] == [code]
    assert words in problems[0].message


@pytest.mark.parametrize(
    "condition",
    [
        "{{inputs.s}} != null",
        "{{inputs.other}} == 1",
        "size('a') == 1",
        "{{inputs.t}} in [1, 'a']",
        "b'a' == b'a'",
        "{{inputs.t}} == [1][0]",
        "[1].all(i, true) && [1].exists()",
        "[1].contains('x')",
        "{'a': 1}.a == 1",
    ],
)
def test_what_may_be_right_is_left_to_the_run(condition: str) -> None:
    assert check(condition, _kind) == []


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("{{step_a.exit_code}} = 0", " at `= 0`: `==` is meant."),
        ("{{inputs.t}} === 90", " at `= 90`: `==` is meant."),
        ("{{inputs.b}} AND\n  {{inputs.t}} > 1", " at `AND {{inputs.t}} > 1`: `&&` is meant."),
        ("{{inputs.b}} or {{inputs.b}}", " at `or {{inputs.b}}`: `||` is meant."),
        ("{{inputs.t}} > 10 & {{inputs.t}} < 20", " at `& {{inputs.t}} < 20`: `&&` is meant."),
        ("{{inputs.s}} == 'it's'", " at `s'`."),
        ("{{inputs.s}} == 'open", " at `'open`: the text that begins there does not end."),
        ("{{inputs.b}} {{inputs.b}}", " at `{{inputs.b}}`."),
        (f"true ; {'x' * 50}", f" at `; {'x' * 37}…`."),
        ("{{inputs.t}} ==", ": it ends too early."),
    ],
)
def test_what_can_not_be_read_says_where_and_what_is_meant(condition: str, words: str) -> None:
    message = f"The condition is not a CEL expression{words}"
    (problem,) = check(condition)
    assert (problem.code, problem.message) == ("bad-condition", message)
    with pytest.raises(ConditionFailed) as caught:
        evaluate(condition, _scope())
    assert caught.value.message == message


def test_macros_may_follow_one_another() -> None:
    condition = "{{step_a.json.l}}.filter(i, i > 1).map(j, j * 2) == [4]"
    assert check(condition) == []
    assert evaluate(condition, _scope())


def test_a_name_like_our_own_may_be_a_variable_of_a_macro_or_stand_in_a_text() -> None:
    condition = "[7].all(opsgate_v1, opsgate_v1 == 7 && {{inputs.t}} == 90) && 'opsgate_vv1' != ''"
    assert check(condition, _kind) == []
    assert evaluate(condition, _scope())


DOUBLING = "[1]" + ".map(i, [i, i])" * 100
ENDLESS = [
    "{{inputs.v}}.all(i, i == 1 && i < 2 || i > 3)",
    "{{inputs.v}}.all(i, i in {{inputs.v}} + [2])",
    "{{inputs.v}}.all(i, {{inputs.v}} == {{inputs.v}})",
    "{{inputs.v}}.map(i, {{inputs.v}}) == [1]",
    "{{inputs.v}}.all(i, {'a': {{inputs.v}}} == {})",
    "{{inputs.v}}.exists(i, {{inputs.t}}.matches('x+y'))",
    "{{inputs.v}}.all(i, {{inputs.t}}.contains({{inputs.s}}))",
    "{{inputs.t}}.matches('" + "x{1000}" * 60 + "')",
    "{{inputs.v}}.exists(i, 'x'.matches('" + "[^x]{1000}" * 60 + "'))",
    DOUBLING + " == [1]",
    DOUBLING + ".map(i, i.nothing()) == [1]",
]


@pytest.mark.parametrize("condition", ENDLESS)
def test_the_work_of_a_condition_is_bounded(condition: str) -> None:
    assert check(condition) == []
    text = "x" * 64_000
    bound = scope(inputs={"v": [1] * 15_000, "t": text, "s": text}, instance={}, results={})
    begun = time.process_time()
    with pytest.raises(ConditionFailed, match="too much work"):
        evaluate(condition, bound)
    assert time.process_time() - begun < 20


def test_a_condition_over_thousands_of_entries_is_answered() -> None:
    assert evaluate("{{inputs.v}}.all(i, i == 1)", _scope([1] * 5000))
    assert evaluate("1 in {{inputs.v}} && {{inputs.v}} == {{inputs.v}}", _scope([2] * 20_000 + [1]))
