"""Simulations of deadlines and waves: what ends a step before it is through."""

from datetime import UTC, datetime
from typing import Any

import pytest

from definitions.examination import read_workflow
from definitions.simulation import Simulation, simulate

NOW = datetime(2027, 1, 31, 8, 0, tzinfo=UTC)
COMMAND: dict[str, Any] = {"type": "command", "command": "true"}
GATE: dict[str, Any] = {"type": "approval", "approvers": ["user:ann", "user:bob"]}
FOUR = ["h1", "h2", "h3", "h4"]


def _simulate(*steps: dict[str, Any], **scenario: Any) -> Simulation:
    return simulate(read_workflow({"name": "w", "steps": list(steps)}), scenario, NOW)


@pytest.mark.parametrize(
    ("step", "told", "words"),
    [
        ({**COMMAND, "timeout_minutes": 2}, {"seconds": 121}, "It was not over within 2 minutes."),
        ({**GATE, "timeout_minutes": 2}, {"seconds": 121, "votes": ["approve"]}, "The deadline passes"),
        ({"type": "delay", "hours": 1, "timeout_minutes": 90}, {"seconds": 9000}, "It was not over"),
    ],
)
def test_a_step_that_takes_longer_than_it_may_fails_at_its_deadline(
    step: dict[str, Any], told: dict[str, Any], words: str
) -> None:
    found = _simulate({"id": "a", **step}, steps={"a": told})
    assert (found.status, found.path[0].ended) == ("failed", step["timeout_minutes"] * 60)
    assert words in found.reason
    assert [host.exit_code for host in found.path[0].hosts] in ([], [None])
    assert _simulate({"id": "a", **step}, steps={"a": {**told, "seconds": 120}}).status == "completed"


def test_a_delay_that_ends_after_its_deadline_fails_at_once_and_is_no_definition_to_publish() -> None:
    found = _simulate({"id": "nap", "type": "delay", "hours": 1, "timeout_minutes": 5})
    assert (found.status, found.path[0].ended) == ("failed", 0)
    assert "and not within 5 minutes" in found.reason
    assert [(one.code, one.severity, one.pointer) for one in found.problems] == [
        ("never-in-time", "error", "/steps/0/timeout_minutes")
    ]


def test_branches_that_take_longer_than_they_may_are_given_up_at_the_deadline() -> None:
    inner = [{"id": "a", **COMMAND}, {"id": "b", **GATE}]
    fork = {"id": "p", "type": "parallel", "branches": [{"steps": inner}], "timeout_minutes": 1}
    found = _simulate(fork, steps={"b": {"votes": ["reject"]}})
    assert (found.status, found.path[0].ended) == ("failed", 60)
    assert found.reason.startswith("p: It was not over within 1 minute.")
    assert [str(one.status) for one in found.path] == ["failed", "completed", "cancelled"]
    assert _simulate(fork, steps={"b": {"seconds": 59}}).status == "completed"


def test_a_wave_with_too_many_failures_is_the_last() -> None:
    step = {"id": "a", **COMMAND, "max_parallel": 2, "max_failures": 1}
    found = _simulate(step, hosts=FOUR, steps={"a": {"hosts": {"h2": {"exit_code": 3}}}})
    assert [host.exit_code for host in found.path[0].hosts] == [0, 3, None, None]
    assert found.reason.startswith(
        "a: 1 of 4 hosts failed, and that stops the step (`max_failures`). On h2: exit code 3. "
        "Not started on h3, h4."
    )
    enough = _simulate(
        {**step, "max_failures": 2}, hosts=FOUR, steps={"a": {"hosts": {"h2": {"exit_code": 3}}}}
    )
    assert [host.exit_code for host in enough.path[0].hosts] == [0, 3, 0, 0]
    assert (enough.path[0].ended, enough.status) == (2, "failed")
