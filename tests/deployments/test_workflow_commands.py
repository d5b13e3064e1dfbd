"""Workflows from the command line, against a real web process: what one does in words, and the archive."""

from pathlib import Path

import pytest

from tests.deployments.conftest import Opsgate, Server

FILES = """\
kind: script
name: {name}
language: bash
content: df
parameters: [{{name: limit}}]
---
kind: workflow
name: {name}
inputs: [{{name: t, type: integer, required: true}}]
outputs: {{disk: "{{{{step_scan.stdout}}}}"}}
steps:
  - {{id: scan, type: script, name: Scan, script: {name}, parameters: {{limit: 90}}, retries: 2}}
  - {{id: room, type: condition, condition: "{{{{step_scan.exit_code}}}} == 0", on_false: cancelled}}
  - {{id: tell, type: command, command: "date\\nuptime"}}
"""


@pytest.fixture
def name(opsgate: Opsgate, server: Server, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Of a script, and of a published workflow that runs it."""
    name = f"words-{request.node.name[-30:].replace('_', '-')}"
    folder = tmp_path / "definitions"
    folder.mkdir()
    for number, text in enumerate(FILES.format(name=name).split("---\n")):
        (folder / f"{number}.yaml").write_text(text)
    done = opsgate("apply", "-f", str(folder), beside=server)
    assert done.code == 0, done.err
    return name


def test_a_workflow_is_shown_with_what_each_step_does_and_where_it_leads(opsgate: Opsgate, name: str):
    shown = opsgate("workflow", "show", name).out
    assert "Version 1" in shown
    assert "input t: integer, required" in shown
    scan, rest = shown.split("  scan (script) “Scan”\n")[1].split("  room (condition)\n")
    assert [line.strip() for line in scan.split("\n") if line] == [
        f"Runs the script `{name}`",
        "parameters: limit = 90",
        "retries: 2",
        "success → room, failure → the end: failed",
    ]
    assert "Decides by a condition:\n      {{step_scan.exit_code}} == 0\n" in rest
    assert "true → tell, false → the end: cancelled, failure → the end: failed" in rest
    assert "      date\n      uptime\n" in rest
    assert "output disk: {{step_scan.stdout}}" in rest


def test_a_draft_and_an_older_version_are_shown_when_asked_for(
    opsgate: Opsgate, server: Server, name: str, tmp_path: Path
):
    file = tmp_path / "definitions" / "1.yaml"
    file.write_text(file.read_text().replace("uptime", "uname") + "draft: true\n")
    done = opsgate("apply", "-f", str(file.parent))
    assert done.code == 0, done.err
    shown = opsgate("workflow", "show", name).out
    assert ("uptime" in shown, "--draft shows it" in shown) == (True, True)
    draft = opsgate("workflow", "show", name, "--draft").out
    assert ("uname" in draft, "Draft, revision 2" in draft) == (True, True)
    assert "uptime" in opsgate("workflow", "show", name, "--version", "1").out
    older = opsgate("workflow", "show", name, "--version", "1", "--json").json
    assert [step["id"] for step in older["definition"]["steps"]] == ["scan", "room", "tell"]


def test_a_workflow_is_archived_and_found_there(opsgate: Opsgate, server: Server, name: str):
    assert opsgate("workflow", "archive", name).out == f"{name} is archived.\n"
    assert name not in [row["name"] for row in opsgate("workflow", "list", "--json").json]
    assert name in [row["name"] for row in opsgate("workflow", "list", "--archived", "--json").json]
