"""Scenarios: what a simulation may be told, and every mistake in it at once."""

from datetime import UTC, datetime

import pytest

from definitions.scenario import Scenario, read_scenario
from definitions.workflow import Workflow, parse

NOW = datetime(2027, 1, 31, 8, 0, tzinfo=UTC)


def _workflow() -> Workflow:
    steps = [
        {"id": "scan", "type": "command", "command": "true"},
        {"id": "ask", "type": "approval", "approvers": ["role:admin"]},
        {"id": "low", "type": "condition", "condition": "true"},
        {"id": "out", "type": "pam_checkout", "identity": "dba"},
        {
            "id": "p",
            "type": "parallel",
            "branches": [{"steps": [{"id": "nap", "type": "delay", "seconds": 1}]}],
        },
    ]
    workflow, problems = parse({"name": "w", "steps": steps})
    assert workflow is not None, problems
    return workflow


WORKFLOW = _workflow()


def _read(document: object) -> Scenario:
    scenario, problems = read_scenario(document, WORKFLOW)
    assert scenario is not None, problems
    return scenario


def _wrong(document: object) -> list[tuple[str, str]]:
    scenario, problems = read_scenario(document, WORKFLOW)
    assert scenario is None
    return [(problem.code, problem.pointer) for problem in problems]


def test_nothing_has_to_be_given() -> None:
    scenario = _read({})
    assert (scenario.hosts, scenario.of("scan").outcome) == (("host-1",), None)
    assert scenario.begins(NOW) == NOW
    assert _read({"now": "2028-01-01T00:00:00Z", "inputs": None}).begins(NOW).year == 2028


def test_one_word_is_an_outcome_and_json_is_what_is_printed() -> None:
    scenario = _read(
        {
            "steps": {
                "ask": "failure",
                "low": {"outcome": "true"},
                "scan": {"json": {"a": [1]}, "hosts": {"web-1": {"json": None, "exit_code": 3}}},
                "nap": {"seconds": 5, "outcome": None},
                "out": {"username": "x"},
            }
        }
    )
    assert scenario.of("ask").outcome == "failure"
    assert scenario.of("scan").stdout == '{"a": [1]}'
    assert scenario.of("scan").hosts["web-1"].stdout == "null"


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ([], [("wrong-type", "")]),
        ({"hosts": [float("nan")]}, [("not-json", "/hosts/0")]),
        ({"hosts": []}, [("empty", "/hosts")]),
        ({"host": ["a"]}, [("unknown-key", "/host")]),
        ({"now": "tomorrow"}, [("bad-instant", "/now")]),
        ({"steps": []}, [("wrong-type", "/steps")]),
        ({"steps": {"skan": {}}}, [("unknown-step", "/steps/skan")]),
        ({"steps": {"zzzzzzzz": {}}}, [("unknown-step", "/steps/zzzzzzzz")]),
        ({"steps": {"scan": 3}}, [("wrong-type", "/steps/scan")]),
        ({"steps": {"scan": "fine"}}, [("unknown-word", "/steps/scan/outcome")]),
        ({"steps": {"scan": {"hosts": []}}}, [("wrong-type", "/steps/scan/hosts")]),
        (
            {"steps": {"scan": {"hosts": {"a": {"exit": 1}}}}},
            [("unknown-key", "/steps/scan/hosts/a/exit")],
        ),
        (
            {"steps": {"scan": {"hosts": {"a": {"exit_code": "1"}}}}},
            [("wrong-type", "/steps/scan/hosts/a/exit_code")],
        ),
        ({"steps": {"scan": {"json": 1, "stdout": "1"}}}, [("given-twice", "/steps/scan/json")]),
        ({"steps": {"scan": {"votes": ["approve"]}}}, [("unfit-outcome", "/steps/scan/votes")]),
        ({"steps": {"scan": "true"}}, [("unfit-outcome", "/steps/scan/outcome")]),
        ({"steps": {"low": "success"}}, [("unfit-outcome", "/steps/low/outcome")]),
        ({"steps": {"ask": {"stdout": "x"}}}, [("unfit-outcome", "/steps/ask/stdout")]),
        ({"steps": {"p": {"outcome": "failure"}}}, [("unfit-outcome", "/steps/p/outcome")]),
        (
            {"steps": {"scan": {"outcome": "success", "exit_code": 2}}},
            [("contradiction", "/steps/scan/outcome")],
        ),
        (
            {"steps": {"ask": {"outcome": "success", "votes": ["reject"]}}},
            [("contradiction", "/steps/ask/votes")],
        ),
        (
            {"hosts": [1], "steps": {"ask": {"votes": ["no"]}, "low": "maybe"}},
            [
                ("wrong-type", "/hosts/0"),
                ("unknown-word", "/steps/ask/votes/0"),
                ("unknown-word", "/steps/low/outcome"),
            ],
        ),
    ],
)
def test_a_mistake_is_named_where_it_stands(document: object, found: list[tuple[str, str]]) -> None:
    assert _wrong(document) == found


def test_the_nearest_step_is_offered() -> None:
    _, problems = read_scenario({"steps": {"skan": {}}}, WORKFLOW)
    assert problems[0].fix == "Did you mean `scan`?"
