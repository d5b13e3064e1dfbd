"""A definition in words: what each step does, on which hosts, where it leads."""

from typing import Any

import pytest

from definitions.step_words import StepWords, in_words
from definitions.workflow import parse


def words(*steps: dict[str, Any], scripts: dict[int, str] | None = None) -> list[StepWords]:
    workflow, problems = parse({"name": "w", "steps": list(steps)})
    assert workflow is not None, problems
    return in_words(workflow, scripts or {})


@pytest.mark.parametrize(
    ("fields", "does"),
    [
        ({"type": "command", "command": "true"}, "Runs a command"),
        ({"type": "command", "command": "true", "shell": "powershell"}, "Runs a command in PowerShell"),
        ({"type": "script", "script": "disk-check"}, "Runs the script `disk-check`"),
        ({"type": "script", "script_id": 7}, "Runs the script `by-id`"),
        ({"type": "script", "script_id": 8}, "Runs the script 8"),
        (
            {"type": "approval", "approvers": ["role:admin", "user:5"]},
            "Asks `role:admin`, `user:5`: any one of the approvers",
        ),
        ({"type": "condition", "condition": "true"}, "Decides by a condition"),
        ({"type": "delay", "minutes": 5}, "Waits 5 minutes"),
        ({"type": "delay", "until": "{{inputs.at}}"}, "Waits until {{inputs.at}}"),
        ({"type": "pam_checkout", "identity": "dba"}, "Checks out the identity `dba`"),
        (
            {"type": "pam_checkout", "identity": "dba", "variable_name": "db"},
            "Checks out the identity `dba`, known as `db`",
        ),
        ({"type": "pam_checkin"}, "Checks in all that is checked out"),
        ({"type": "pam_checkin", "checkout": "out"}, "Checks in what `out` checked out"),
    ],
)
def test_every_kind_says_what_it_does(fields: dict[str, Any], does: str) -> None:
    (step,) = words({"id": "a", **fields}, scripts={7: "by-id"})
    assert step.does == does


def test_what_is_set_is_said_and_what_is_not_is_left_out() -> None:
    (step,) = words(
        {
            "id": "scan",
            "type": "script",
            "name": "Scan",
            "script": "disk-check",
            "parameters": {"threshold": "{{inputs.t}}"},
            "hosts": ["web-1", "tag:db"],
            "retries": 2,
            "max_parallel": 3,
        }
    )
    assert (step.name, step.hosts, step.text) == ("Scan", ("web-1", "tag:db"), "")
    assert step.settings == {"parameters": {"threshold": "{{inputs.t}}"}, "retries": 2, "max_parallel": 3}


def test_every_way_on_is_named() -> None:
    first, second = words(
        {
            "id": "a",
            "type": "condition",
            "condition": "1 == 1",
            "on_false": "cancelled",
            "on_failure": "b",
        },
        {"id": "b", "type": "delay", "seconds": 1},
    )
    assert first.text == "1 == 1"
    assert first.routes == {"true": "b", "false": "the end: cancelled", "failure": "b"}
    assert second.routes == {"success": "the end: completed", "failure": "the end: failed"}


def test_branches_are_named_and_end_by_themselves() -> None:
    inner = {"id": "inner", "type": "delay", "seconds": 1}
    other = {"id": "other", "type": "delay", "seconds": 1}
    branches = [{"name": "web", "steps": [inner]}, {"steps": [other]}]
    fork, web, second = words({"id": "fork", "type": "parallel", "join": "any", "branches": branches})
    assert fork.does == "Runs `web`, `branch 2` side by side, and goes on once one branch has come to its end"
    assert (fork.branch, web.branch, second.branch) == ("", "in web of `fork`", "in branch 2 of `fork`")
    assert web.routes == {"success": "the end of the branch", "failure": "the end of the branch: failed"}
