"""`opsgate workflow simulate`: a file walked on paper, with no server at all."""

from pathlib import Path

import pytest

from tests.deployments.conftest import Opsgate

WORKFLOW = """\
kind: workflow
name: deploy
inputs: [{name: limit, type: integer, required: true}, {name: key, type: secret}]
steps:
  - {id: scan, type: script, script: disk-check, parameters: {limit: "{{inputs.limit}}"}}
  - {id: room, type: condition, condition: "{{step_scan.json.used}} < {{inputs.limit}}", on_false: tell}
  - {id: ask, type: approval, title: "Deploy at {{step_scan.json.used}}?", approvers: ["role:admin"],
     on_success: end, on_failure: cancelled}
  - {id: tell, type: command, command: "echo {{step_scan.json.used}}", on_success: fail}
"""
SCENARIO = """\
inputs: {limit: 90}
hosts: [web-1, web-2]
steps:
  scan: {json: {used: 95}}
  tell: failure
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "w.yaml").write_text(WORKFLOW)
    (tmp_path / "s.yaml").write_text(SCENARIO)
    return tmp_path


def test_a_path_is_printed_with_every_value_and_reason(opsgate: Opsgate, files: Path) -> None:
    done = opsgate("workflow", "simulate", "w.yaml", "--scenario", "s.yaml")
    assert done.code == 0, done.err
    lines = [line.strip() for line in done.out.splitlines()]
    assert lines[0] == "input limit = 90"
    assert "scan (script): completed" in lines
    assert 'parameters: {"limit": 90}' in lines
    assert 'on web-2: exit code 0, prints "{\\"used\\": 95}"' in lines
    assert "With its values: 95 < 90. The condition is false; next is tell." in lines
    assert 'environment: {"OPSGATE_V1": "95"}' in lines
    assert lines[-3].startswith("failed: tell: On web-1: exit code 1 (and 1 more of 2 jobs).")
    assert "Not checked, since the server was not asked: scripts and their parameters, approvers" in done.out


def test_flags_say_the_same_as_a_file_and_go_before_it(opsgate: Opsgate, files: Path) -> None:
    (files / "out.json").write_text('{"used": 12}')
    flags = ["--input", "limit=90", "--stdout", "scan=@out.json", "--vote", "ask=reject", "--host", "db-1"]
    both = opsgate("workflow", "simulate", "w.yaml", "--scenario", "s.yaml", *flags, "--json")
    assert opsgate("workflow", "simulate", "w.yaml", *flags, "--json").json == both.json
    assert both.json["status"] == "cancelled"
    assert [step["step"] for step in both.json["path"]] == ["scan", "room", "ask"]
    assert both.json["path"][2]["input"]["title"] == "Deploy at 12?"
    failing = opsgate("workflow", "simulate", "w.yaml", "--input", "limit=1", "--fail", "scan", "--json")
    assert failing.json["reason"].startswith("scan: On host-1: exit code 1.")
    coded = opsgate("workflow", "simulate", "w.yaml", "--input", "limit=1", "--exit-code", "scan=7", "--json")
    assert coded.json["path"][0]["hosts"][0]["exit_code"] == 7


def test_what_is_missing_or_mistyped_is_all_told(opsgate: Opsgate, files: Path) -> None:
    done = opsgate("workflow", "simulate", "w.yaml", "--fail", "skan", "--exit-code", "scan=x")
    assert done.code == 1
    assert "Did you mean `scan`?" in done.err
    assert "/scenario/steps/scan/exit_code" in done.err
    missing = opsgate("workflow", "simulate", "w.yaml")
    assert "`limit` is required" in missing.err


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        ("- a\n", "no scenario"),
        ("steps: 3\n", "`steps`"),
        ("steps: {scan: 3}\n", "`scan`"),
        (None, "no file"),
    ],
)
def test_a_file_that_is_no_scenario_is_wrong_use(
    opsgate: Opsgate, files: Path, scenario: str | None, words: str
) -> None:
    if scenario is not None:
        (files / "odd.yaml").write_text(scenario)
    done = opsgate("workflow", "simulate", "w.yaml", "--scenario", "odd.yaml", "--fail", "scan")
    assert done.code == 2
    assert words in done.err


def test_a_secret_is_not_given_on_the_command_line(opsgate: Opsgate, files: Path) -> None:
    done = opsgate("workflow", "simulate", "w.yaml", "--input", "key=hunter2")
    assert done.code == 2
    assert "hunter2" not in done.err
