"""The shipped examples: each is proved, and the script really reads this machine."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

import definitions
from definitions.catalogue import Catalogue, IdentityFacts, ScriptFacts
from definitions.conditions import evaluate
from definitions.dispatch import script_payload
from definitions.parameters import bind
from definitions.proof import prove
from definitions.script import Script, parse_script
from definitions.steps import CommandStep, ConditionStep
from definitions.variables import HostFacts, StepFacts, bind_command, scope
from definitions.workflow import Workflow, parse

FOLDER = Path(definitions.__file__).parent / "examples"
FILES = sorted(FOLDER.glob("*.yaml"))


def _document(path: Path) -> dict[str, object]:
    document: dict[str, object] = yaml.safe_load(path.read_text())
    document.pop("draft", None)
    if "content_file" in document:
        document["content"] = (path.parent / str(document.pop("content_file"))).read_text()
    return document


def _scripts() -> list[Script]:
    found = [parse_script(_document(path)) for path in FILES if _document(path)["kind"] == "script"]
    assert all(problems == [] for _, problems in found)
    return [script for script, _ in found if script is not None]


def _workflow(path: Path) -> Workflow:
    workflow, problems = parse(_document(path))
    assert problems == []
    assert workflow is not None
    return workflow


@pytest.mark.parametrize(
    "path", [path for path in FILES if "script" not in path.name], ids=lambda path: path.name
)
def test_every_example_workflow_is_proved_without_a_word(path: Path) -> None:
    scripts = tuple(
        ScriptFacts(n, s.name, s.parameters, s.language) for n, s in enumerate(_scripts(), start=1)
    )
    people = {"role:approver": frozenset({1, 2})}
    identities = (IdentityFacts(1, "db_admin"),)
    known = Catalogue(scripts=scripts, hosts=frozenset(), people=people, identities=identities)
    assert prove(_workflow(path), known) == []


def _run_health_check(threshold: int) -> str:
    script = next(script for script in _scripts() if script.name == "health_check")
    values, problems = bind(script.parameters, {"threshold": threshold}, "")
    assert problems == []
    payload = script_payload(script, values)
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **payload.environment}
    done = subprocess.run(
        ["bash", "-c", payload.content], env=environment, capture_output=True, timeout=20, check=True
    )
    return done.stdout.decode()


@pytest.mark.parametrize(("threshold", "healthy"), [(101, True), (0, False)])
def test_the_health_check_reads_this_machine_and_judges_by_the_threshold(
    threshold: int, healthy: bool
) -> None:
    facts = json.loads(_run_health_check(threshold))
    assert sorted(facts) == ["disk_percent", "healthy", "hostname", "memory_percent"]
    assert 0 <= facts["disk_percent"] <= 100
    assert 0 < facts["memory_percent"] < 100
    assert facts["healthy"] is healthy


@pytest.mark.parametrize(("threshold", "goes_on"), [(101, True), (0, False)])
def test_the_workflow_goes_on_only_when_there_is_room(threshold: int, goes_on: bool) -> None:
    workflow = _workflow(FOLDER / "health_check.yaml")
    facts = StepFacts(hosts=(HostFacts(host="here", stdout=_run_health_check(threshold), exit_code=0),))
    bound = scope(inputs={"threshold": threshold}, instance={}, results={"health_check": facts})
    step = workflow.step("has_room")
    assert isinstance(step, ConditionStep)
    assert evaluate(step.condition, bound) is goes_on
    command = workflow.step("go_on")
    assert isinstance(command, CommandStep)
    assert (
        bind_command(command.command, "bash", bound).text == 'echo "Disk at ${OPSGATE_V1} percent, approved"'
    )
