"""Scripts, libraries, and the payloads made of them."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from definitions.delays import due_at, instant
from definitions.dispatch import command_payload, script_payload
from definitions.errors import Invalid
from definitions.job_types import ALWAYS_CRITICAL, CRITICAL, NAMES, PRIORITY, PRIORITY_NAMES
from definitions.library import Library, parse_library, unfit_links
from definitions.parameters import Parameter
from definitions.script import Script, parse_script
from definitions.steps import DelayStep
from definitions.variables import scope

DOCUMENT = {
    "kind": "script",
    "name": "disk-check",
    "language": "bash",
    "content": "df",
    "timeout_seconds": 60,
    "parameters": [{"name": "limit", "type": "integer", "required": True}],
    "run_as": None,
    "libraries": ["lib"],
}


def test_a_script_is_read_and_written_back() -> None:
    script, problems = parse_script(DOCUMENT)
    assert problems == []
    assert script is not None
    assert (script.name, script.timeout_seconds, script.parameters[0].name) == ("disk-check", 60, "limit")
    assert parse_script(json.loads(json.dumps(script.document()))) == (script, [])


def test_a_library_is_read_and_written_back() -> None:
    library, problems = parse_library(
        {"kind": "library", "name": "lib", "language": "bash", "content": "f() { :; }"}
    )
    assert problems == []
    assert library is not None
    assert parse_library(library.document()) == (library, [])


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"content": ""}, ("empty", "/content")),
        ({"language": "cobol"}, ("unknown-word", "/language")),
        ({"timeout_seconds": 0}, ("out-of-range", "/timeout_seconds")),
        ({"parameters": [{}]}, ("missing-field", "/parameters/0/name")),
        ({"content_fil": "x"}, ("unknown-key", "/content_fil")),
        ({"name": "a%b"}, ("bad-name", "/name")),
        ({"kind": "library"}, ("wrong-kind", "/kind")),
        ({"libraries": [5]}, ("wrong-type", "/libraries/0")),
        ({"requires_elevation": "no"}, ("wrong-type", "/requires_elevation")),
    ],
)
def test_a_mistake_in_a_script_is_named(change: dict[str, object], found: tuple[str, str]) -> None:
    script, problems = parse_script({**DOCUMENT, **change})
    assert script is None
    assert [(problem.code, problem.pointer) for problem in problems] == [found]


def test_mistakes_of_several_parameters_are_named_at_once() -> None:
    wrong = [{"name": "a", "secret": True}, {}, {"name": "b", "type": "integer", "choices": [1]}]
    script, problems = parse_script({**DOCUMENT, "parameters": wrong})
    assert script is None
    assert [(problem.pointer, problem.fix) for problem in problems] == [
        ("/parameters/0/secret", "Make the type secret."),
        ("/parameters/1/name", "Add `name`."),
        ("/parameters/2/choices", "Make the type choice."),
    ]


@pytest.mark.parametrize("document", [None, [], {"content": float("nan")}])
def test_what_is_no_script_is_refused(document: object) -> None:
    assert parse_script(document)[0] is None


SCRIPT = Script(name="s", language="bash", content="echo", parameters=(Parameter(name="x"),))


def test_a_script_becomes_a_payload_with_its_values_in_the_environment() -> None:
    payload = script_payload(SCRIPT, {"x": "$(id)"})
    assert (payload.content, payload.environment, payload.timeout_seconds) == (
        "echo",
        {"PARAM_X": "$(id)"},
        300,
    )
    assert script_payload(SCRIPT, {}, timeout_seconds=5).timeout_seconds == 5


def test_libraries_come_before_the_script() -> None:
    script = SCRIPT.model_copy(update={"libraries": ("one", "two")})
    libraries = [Library(name=name, language="bash", content=f"# {name}") for name in ("two", "one")]
    assert script_payload(script, {}, libraries=libraries).content == "# one\n# two\necho"


def test_a_library_that_is_missing_or_in_another_language_is_refused() -> None:
    script = SCRIPT.model_copy(update={"libraries": ("one",)})
    with pytest.raises(Invalid, match="There is no library 'one'"):
        script_payload(script, {})
    with pytest.raises(Invalid, match="is python"):
        script_payload(script, {}, libraries=[Library(name="one", language="python", content="x")])


@pytest.mark.parametrize(
    ("link", "known", "code"),
    [
        ("missing", {}, "unknown-library"),
        ("old", {"old": None}, "archived-library"),
        ("snake", {"snake": "python"}, "other-language"),
        ("good", {"good": "bash"}, "linked-twice"),
    ],
)
def test_every_link_that_can_not_be_is_a_problem_of_its_own(link: str, known: Any, code: str) -> None:
    script = SCRIPT.model_copy(update={"libraries": ("good", link)})
    (problem,) = unfit_links(script, {"good": "bash", **known})
    assert (problem.pointer, problem.code) == ("/libraries/1", code)


def test_a_command_becomes_a_payload() -> None:
    payload = command_payload('echo "${OPSGATE_V1}"', {"OPSGATE_V1": "x"}, "bash")
    assert (payload.shell, payload.timeout_seconds) == ("bash", 300)
    assert command_payload("x", {}, None, 7).timeout_seconds == 7


def test_the_priorities_are_the_manuals() -> None:
    critical = {"service_control", "process_control", "user_control", "group_control"}
    assert {name for name in NAMES if PRIORITY[name] == CRITICAL} == critical == ALWAYS_CRITICAL
    assert PRIORITY_NAMES[PRIORITY["network_diagnostic"]] == "high"
    assert {PRIORITY_NAMES[PRIORITY[name]] for name in ("script", "command", "software_install")} == {
        "normal"
    }


NOW = datetime(2026, 1, 1, tzinfo=UTC)
EMPTY = scope(inputs={"at": "2027-01-31T08:00:00+01:00"}, instance={}, results={})


@pytest.mark.parametrize(
    ("fields", "wait"),
    [
        ({"seconds": 90}, timedelta(seconds=90)),
        ({"minutes": 0.5}, timedelta(seconds=30)),
        ({"hours": 2}, timedelta(hours=2)),
    ],
)
def test_a_delay_is_over_after_what_it_says(fields: dict[str, object], wait: timedelta) -> None:
    assert due_at(DelayStep.model_validate({"id": "d", **fields}), NOW, EMPTY) == NOW + wait


def test_a_delay_until_may_be_a_reference() -> None:
    step = DelayStep(id="d", until="{{inputs.at}}")
    assert due_at(step, NOW, EMPTY) == datetime(2027, 1, 31, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["soon", "2027-01-31T08:00:00", "", "5", "None", "9999-12-31T23:59:59-05:00", "0001-01-01T00:00+01:00"],
)
def test_what_is_no_instant_is_refused_and_shown(text: str) -> None:
    with pytest.raises(Invalid, match=re.escape(repr(text))):
        instant(text)


def test_of_a_long_text_that_is_no_instant_only_the_beginning_is_shown() -> None:
    with pytest.raises(Invalid, match=r"but 'x{59}…'"):
        instant("x" * 1000)
