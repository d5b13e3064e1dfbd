"""The command line without a server: help, exit codes, checking a file."""

import subprocess
import sys
from pathlib import Path

import pytest

from deployments.cli.app import COMMANDS, NOUNS
from deployments.cli.output import cell
from tests.deployments.conftest import Opsgate

WORKFLOW = """\
kind: workflow
name: restart
steps:
  - {id: ask, type: command, command: echo ready}
"""


def test_help_loads_nothing_that_takes_long():
    """How long it takes is measured by `./run bench startup`."""
    command = [sys.executable, "-X", "importtime", "-m", "deployments.cli", "--help"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, check=True)
    assert b"workflow" in done.stdout
    loaded = {line.rpartition(b"|")[2].strip().split(b".")[0] for line in done.stderr.splitlines()}
    assert b"cyclopts" in loaded
    assert loaded.isdisjoint({b"prefect", b"fastapi", b"pydantic", b"asyncpg", b"sqlalchemy", b"httpx2"})


@pytest.mark.parametrize("name", [*COMMANDS, *(noun for noun in NOUNS if noun != "agent")])
def test_every_command_can_be_asked_for_help(opsgate: Opsgate, name: str):
    done = opsgate(name, "--help")
    assert done.code == 0
    assert name in done.out


def test_the_agents_own_program_answers_under_our_name():
    command = [sys.executable, "-m", "deployments.cli", "agent", "unit"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, check=True)
    assert b"opsgate-agent run\n" in done.stdout


def test_a_draft_can_be_checked_like_any_workflow(opsgate: Opsgate, tmp_path: Path):
    (tmp_path / "w.yaml").write_text(WORKFLOW + "draft: true\n")
    assert opsgate("workflow", "validate", "w.yaml").code == 0


def test_a_good_file_is_valid(opsgate: Opsgate, tmp_path: Path):
    (tmp_path / "w.yaml").write_text(WORKFLOW)
    done = opsgate("workflow", "validate", "w.yaml")
    assert (done.code, done.out.splitlines()[0]) == (0, "w.yaml: valid")


def test_a_script_is_not_taken_for_a_bad_workflow(opsgate: Opsgate, tmp_path: Path):
    (tmp_path / "s.yaml").write_text("kind: script\nname: s\nlanguage: bash\ncontent: ls\n")
    done = opsgate("workflow", "validate", "s.yaml")
    assert done.code == 2
    assert "s.yaml defines a script, not a workflow" in done.err


def test_a_bad_file_shows_every_problem_with_its_fix(opsgate: Opsgate, tmp_path: Path):
    (tmp_path / "w.yaml").write_text(
        WORKFLOW + "  - {id: two, type: command, command: a, on_success: nowhere}\n"
    )
    done = opsgate("workflow", "validate", "w.yaml")
    assert done.code == 1
    assert "/steps/1/on_success" in done.out
    assert "fix:" in done.out


@pytest.mark.parametrize("levels", [600, 900, 20_000])
@pytest.mark.parametrize("format", ["json", "yaml"])
def test_a_file_that_is_nested_without_end_is_a_problem_in_words(
    opsgate: Opsgate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, levels: int, format: str
):
    monkeypatch.setenv("OPSGATE_URL", "http://127.0.0.1:9")  # it never comes to ask
    monkeypatch.setenv("OPSGATE_TOKEN", "ogt_x")
    levels = min(levels, 900) if format == "yaml" else levels  # YAML is read slowly
    file = f"w.{format}"
    deep = '{"a": ' * levels + "1" + "}" * levels
    (tmp_path / file).write_text(f'{{"kind": "workflow", "name": "w", "steps": {deep}}}')
    (tmp_path / "good.yml").write_text(WORKFLOW)
    for arguments in (
        ("workflow", "validate", file),
        ("workflow", "simulate", file),
        ("workflow", "simulate", "good.yml", "--scenario", file),
        ("apply", "-f", ".", "--dry-run"),
    ):
        done = opsgate(*arguments)
        assert done.code == 1, arguments
        assert "nested" in done.out + done.err or "recursion" in done.err, (arguments, done.err)
        assert "Traceback" not in done.err


def test_problems_can_be_had_as_json(opsgate: Opsgate, tmp_path: Path):
    (tmp_path / "w.yaml").write_text(WORKFLOW.replace("command: echo ready", "comand: echo ready"))
    done = opsgate("workflow", "validate", "w.yaml", "--json")
    assert done.code == 1
    assert done.json["valid"] is False
    assert {"pointer", "code", "message", "fix", "severity"} <= set(done.json["problems"][0])


@pytest.mark.parametrize(
    "arguments",
    [
        ("workflow", "validate", "missing.yaml"),
        ("workflow", "validate"),
        ("workflow", "frobnicate"),
        ("frobnicate",),
        ("instance", "show", "not-a-number"),
        ("instance", "list"),
        ("apply", "-f", "no-such-folder"),
        ("job", "run", "script", "--host", "a"),
    ],
)
def test_wrong_use_has_its_own_exit_code(opsgate: Opsgate, arguments: tuple[str, ...]):
    done = opsgate(*arguments)
    assert done.code == 2
    assert "Traceback" not in done.err


def test_without_a_server_it_says_how_to_get_one(opsgate: Opsgate):
    assert "opsgate login" in opsgate("instance", "list").err


def test_a_server_that_is_not_there_is_a_failure_in_words(opsgate: Opsgate, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPSGATE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("OPSGATE_TOKEN", "ogt_x")
    done = opsgate("instance", "list")
    assert done.code == 1
    assert "does not answer" in done.err
    assert "Traceback" not in done.err


def test_a_hosts_output_can_not_steer_the_terminal():
    assert cell("a\x1b[2Jb\x07") == "a⟨U+001B⟩[2Jb⟨U+0007⟩"
    assert cell("tab\tline\n") == "tab\tline\n"


def test_a_cell_reads_like_words():
    assert cell(True) == "yes"
    assert cell(None) == ""
    assert cell([{"id": 1, "name": "web-1"}, {"id": 2, "name": "web-2"}]) == "web-1, web-2"
    assert cell("[bold]text[/]") == "[bold]text[/]"
