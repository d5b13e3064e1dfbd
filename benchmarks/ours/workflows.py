"""The workflows that are measured, as definition documents.

Every job carries the instance's id in its one value: the instant agent reads it there.
"""

from typing import Any

STEPS = 5
FIVE_STEPS = "bench-five-steps"
GATED = "bench-gated"
SCRIPT = "bench-script"

SCRIPT_DOCUMENT: dict[str, Any] = {
    "name": SCRIPT,
    "language": "bash",
    "content": "exit 0\n",
    "parameters": [{"name": "instance", "type": "integer", "required": True}],
}


def _command(step: str) -> dict[str, Any]:
    return {"id": step, "type": "command", "command": ": {{instance.id}}"}


def _script(step: str) -> dict[str, Any]:
    parameters = {"instance": "{{instance.id}}"}
    return {"id": step, "type": "script", "script": SCRIPT, "parameters": parameters}


DOCUMENTS: dict[str, dict[str, Any]] = {
    FIVE_STEPS: {
        "name": FIVE_STEPS,
        "steps": [_command("one"), _script("two"), _command("three"), _script("four"), _command("five")],
    },
    GATED: {
        "name": GATED,
        "steps": [
            {
                "id": "gate",
                "type": "approval",
                "title": "Go on with {{instance.id}}?",
                "approval_type": "one_of_many",
                "approvers": ["role:approver"],
            },
            _command("after"),
        ],
    },
}
"""By name."""
