"""Every JSON fragment the manual prints, as it stands there, and every reference of its tables."""

import json
from typing import Any

import pytest

from definitions.catalogue import Catalogue, IdentityFacts, ScriptFacts
from definitions.job_types import NAMES
from definitions.parameters import Parameter
from definitions.proof import prove
from definitions.references import malformed, references
from definitions.steps import ApprovalStep, CommandStep, ConditionStep, PamCheckoutStep, ScriptStep
from definitions.variables import BLOCKED, HostFacts, StepFacts, resolve, resolve_run_as, scope
from definitions.workflow import Workflow, parse

SCRIPT = """
{
  "id": "health_check",
  "type": "script",
  "name": "Run health check",
  "script_id": 42,
  "parameters": {"threshold": "90"},
  "on_success": "deploy_step",
  "on_failure": "notify_failure"
}
"""
APPROVAL = """
{
  "id": "approve_deploy",
  "type": "approval",
  "title": "Approve production deployment",
  "approval_type": "one_of_many",
  "approvers": ["role:admin", "user:5"],
  "timeout_minutes": 60,
  "on_success": "deploy_step",
  "on_failure": "cancelled"
}
"""
CONDITIONAL = """
{
  "id": "check_result",
  "type": "conditional",
  "config": {
    "condition": "{{step_scan.exit_code}} == 0",
    "on_true": "continue",
    "on_false": "rollback"
  }
}
"""


def _workflow(*steps: Any) -> Workflow:
    workflow, problems = parse({"name": "w", "steps": [*steps]})
    assert (problems, workflow is not None) == ([], True)
    assert workflow is not None
    return workflow


def _command(step_id: str, text: str = "true", **more: Any) -> dict[str, Any]:
    return {"id": step_id, "type": "command", "command": text, **more}


def test_the_script_step() -> None:
    (step,) = _workflow(json.loads(SCRIPT)).steps
    assert isinstance(step, ScriptStep)
    assert (step.script, step.parameters, step.label) == (42, {"threshold": "90"}, "Run health check")
    assert (step.on_success, step.on_failure) == ("deploy_step", "notify_failure")


def test_the_approval_step() -> None:
    (step,) = _workflow(json.loads(APPROVAL)).steps
    assert isinstance(step, ApprovalStep)
    assert (step.label, step.approval_type) == ("Approve production deployment", "one_of_many")
    assert (step.approvers, step.timeout_minutes, step.on_failure) == (
        ("role:admin", "user:5"),
        60,
        "cancelled",
    )


def test_the_conditional() -> None:
    (step,) = _workflow(json.loads(CONDITIONAL)).steps
    assert isinstance(step, ConditionStep)
    assert step.condition == "{{step_scan.exit_code}} == 0"
    assert (step.on_true, step.on_false) == ("continue", "rollback")


def test_together_they_are_proved_without_a_word() -> None:
    scripts = (ScriptFacts(42, "health", (Parameter(name="threshold", type="integer"),)),)
    people = {"role:admin": frozenset({1, 2}), "user:5": frozenset({5})}
    scan = {**json.loads(SCRIPT), "id": "scan", "on_success": "continue", "on_failure": "check_result"}
    workflow = _workflow(
        json.loads(SCRIPT) | {"on_success": "scan"},
        scan,
        json.loads(CONDITIONAL),
        json.loads(APPROVAL),
        _command("deploy_step", on_success="end"),
        _command("rollback", on_success="end"),
        _command("notify_failure"),
    )
    assert prove(workflow, Catalogue(scripts, frozenset(), people)) == []


SCOPE = scope(
    inputs={},
    instance={},
    results={
        name: StepFacts(hosts=(HostFacts(host="h", stdout='{"ip_address": "10.0.0.1"}\n', exit_code=0),))
        for name in ("health_check", "scan")
    },
    identities={"db_admin": {"username": "dba", "credential_type": "password", "domain": "corp"}},
)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("{{step_health_check.stdout}}", '{"ip_address": "10.0.0.1"}'),
        ("{{step_scan.exit_code}}", 0),
        ("{{step_scan.json.ip_address}}", "10.0.0.1"),
        ("{{db_admin.username}}", "dba"),
        ("{{db_admin.credential_type}}", "password"),
        ("{{db_admin.domain}}", "corp"),
        ("{{db_admin.password}}", "***CREDENTIAL_BLOCKED***"),
        ("{{variables.step_scan.stdout}}", '{"ip_address": "10.0.0.1"}'),
        ("{{variables.db_admin.username}}", "dba"),
    ],
)
def test_a_reference_of_the_tables_and_of_the_legacy_syntax(written: str, value: object) -> None:
    assert resolve(written, SCOPE) == value
    assert BLOCKED == "***CREDENTIAL_BLOCKED***"


@pytest.mark.parametrize(
    "written", ["{{path.to.value}}", "{{step_ID.stdout}}", "{{step_ID.json.KEY}}", "{{X.password}}"]
)
def test_a_pattern_of_the_text_is_a_reference(written: str) -> None:
    assert malformed(written) == ()
    assert [reference.text for reference in references(written)] == [written]


def test_run_as_takes_the_identity_by_either_of_its_names() -> None:
    names = {"identity": "identity_name", "variable_name": "db_admin"}
    out: dict[str, Any] = {"id": "out", "type": "pam_checkout", **names}
    steps = [_command(f"s{n}", run_as=name) for n, name in enumerate(["{{db_admin}}", "{{identity_name}}"])]
    workflow = _workflow(out, *steps, {"id": "in", "type": "pam_checkin"})
    assert isinstance(workflow.steps[0], PamCheckoutStep)
    assert isinstance(workflow.steps[1], CommandStep)
    known = Catalogue(identities=(IdentityFacts(1, "identity_name"),))
    assert prove(workflow, known) == []
    assert resolve_run_as("{{db_admin}}", SCOPE) == "db_admin"


JOB_TYPES = """script command service_control process_control network_diagnostic software_install
user_control group_control"""
STEP_TYPES = "script command approval conditional delay pam_checkout pam_checkin"


def test_every_type_of_the_tables_is_known() -> None:
    assert set(JOB_TYPES.split()) <= set(NAMES)
    for kind in STEP_TYPES.split():
        _, problems = parse({"name": "w", "steps": [{"id": "a", "type": kind}]})
        assert "unknown-kind" not in {problem.code for problem in problems}
