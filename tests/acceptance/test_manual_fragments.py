"""The fragments the manual prints run as they stand, their ids filled in with a real script and person."""

import json
from pathlib import Path
from typing import Any

from tests.definitions.test_manual_fragments import APPROVAL, CONDITIONAL, SCRIPT
from tests.live.stack import LiveStack


def _command(step_id: str, text: str, **more: Any) -> dict[str, Any]:
    return {"id": step_id, "type": "command", "command": text, **more}


def _publish(live: LiveStack, sickness: Path) -> None:
    """The three fragments, and the steps that they name; the host is sick while that file is there."""
    script = {
        "name": "manual-health",
        "language": "bash",
        "content": f'echo "below $PARAM_THRESHOLD"; test ! -e "{sickness}"',
        "parameters": [{"name": "threshold", "type": "integer"}],
    }
    saved = live.admin.put("/scripts/by-name/manual-health", json=script)
    assert saved.status_code in (200, 201), saved.text
    check, gate = json.loads(SCRIPT), json.loads(APPROVAL)
    check["script_id"] = saved.json()["id"]
    gate["approvers"] = ["role:admin", f"user:{live.bob.get('/me').json()['id']}"]
    steps = [
        _command("scan", "exit {{inputs.code}}", on_failure="check_result"),
        json.loads(CONDITIONAL),
        check,
        _command("notify_failure", "echo told"),
        gate,
        _command("deploy_step", "echo {{variables.step_health_check.stdout}}", on_success="end"),
        _command("rollback", "echo back", on_success="end"),
    ]
    inputs = [{"name": "code", "type": "integer", "default": 0}]
    live.publish({"name": "manual", "inputs": inputs, "steps": steps})


def _path(view: dict[str, Any]) -> list[str]:
    return [f"{step['step_id']} {step['status']}" for step in view["steps"]]


BEFORE = ["scan completed", "check_result completed"]
SICK = [*BEFORE, "health_check failed", "notify_failure completed"]


def test_the_manuals_steps_run_as_they_are_printed(live: LiveStack, tmp_path: Path) -> None:
    _publish(live, tmp_path / "sick")
    well = live.ended(live.launch("manual", ["host-1"]))
    assert (well["status"], _path(well)) == (
        "completed",
        [*BEFORE, "health_check completed", "deploy_step completed"],
    )
    assert well["steps"][-1]["jobs"][0]["stdout"].strip() == "below 90"

    rolled_back = live.ended(live.launch("manual", ["host-1"], code=3))
    assert _path(rolled_back) == ["scan failed", "check_result completed", "rollback completed"]

    (tmp_path / "sick").touch()
    approved = live.launch("manual", ["host-1"])
    gate = live.gate(approved)
    assert gate["title"] == "Approve production deployment"
    assert live.vote(gate).status_code == 200
    ended = live.ended(approved)
    assert (ended["status"], _path(ended)) == (
        "completed",
        [*SICK, "approve_deploy completed", "deploy_step completed"],
    )

    rejected = live.launch("manual", ["host-1"])
    assert live.vote(live.gate(rejected), "reject").status_code == 200
    ended = live.ended(rejected)
    assert (ended["status"], _path(ended)) == ("cancelled", [*SICK, "approve_deploy failed"])
