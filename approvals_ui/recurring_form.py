"""The form of a recurring job: from its fields to the document that is saved, and back. Holds no rule."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import FormData

from approvals_ui.forms import text
from definitions.errors import Invalid
from definitions.problems import Problem

KINDS = {
    "command": "a command",
    "script": "a saved script",
    "workflow": "a workflow",
    "job": "another job, as JSON",
}
EMPTY: dict[str, str] = {
    "name": "",
    "cron": "0 2 * * *",
    "timezone": "UTC",
    "overlap": "allow",
    "catch_up": "skip",
    "catch_up_limit": "10",
    "enabled": "yes",
    "kind": "command",
}
_PLAIN = ("name", "cron", "timezone", "overlap", "catch_up", "end_date")
_NUMBERS = ("max_recurrences", "catch_up_limit")


def document(fields: FormData) -> dict[str, Any]:
    """What the fields say, as in a definition file; `Invalid` where one holds no JSON."""
    made: dict[str, Any] = {key: value for key in _PLAIN if (value := text(fields, key).strip())}
    for key in _NUMBERS:
        if word := text(fields, key).strip():
            made[key] = int(word) if word.isascii() and word.isdigit() and len(word) < 10 else word
    made["enabled"] = text(fields, "enabled") == "yes"
    kind, hosts = text(fields, "kind"), text(fields, "hosts").replace(",", " ").split()
    if kind == "workflow":
        named = text(fields, "workflow").strip()
        made["workflow"] = {"name": named, "hosts": hosts, "inputs": _json(fields, "values")}
    elif kind == "script":
        payload = {"script": text(fields, "script").strip(), "parameters": _json(fields, "values")}
        made["job"] = {"type": "script", "hosts": hosts, "payload": payload}
    elif kind == "command":
        payload = {"command": text(fields, "command")}
        made["job"] = {"type": "command", "hosts": hosts, "payload": payload}
    else:
        made["job"] = {**_json(fields, "job"), "hosts": hosts}
    return made


def filled(definition: Mapping[str, Any]) -> dict[str, str]:
    """The fields that say the same as a definition."""
    shown = {key: str(definition[key]) for key in (*_PLAIN, *_NUMBERS) if key in definition}
    shown["enabled"] = "yes" if definition["enabled"] else ""
    of = definition.get("workflow") or definition["job"]
    shown["hosts"] = " ".join(of["hosts"])
    payload = of.get("payload", {})
    if "workflow" in definition:
        return {**shown, "kind": "workflow", "workflow": of["name"], "values": _written(of["inputs"])}
    if payload.keys() <= {"script", "parameters"} and "script" in payload and "priority" not in of:
        values = _written(payload.get("parameters") or {})
        return {**shown, "kind": "script", "script": str(payload["script"]), "values": values}
    if of["type"] == "command" and payload.keys() == {"command"} and "priority" not in of:
        return {**shown, "kind": "command", "command": payload["command"]}
    rest = {key: value for key, value in of.items() if key != "hosts"}
    return {**shown, "kind": "job", "job": _written(rest)}


def _json(fields: FormData, name: str) -> dict[str, Any]:
    word = text(fields, name).strip()
    try:
        found = json.loads(word or "{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        message = "This must be a JSON object."
        fix = 'Write it like {"threshold": 90}.'
        problem = Problem(pointer=f"/{name}", code="not-json", message=message, fix=fix)
        raise Invalid("A field holds no JSON.", [problem])
    return found


def _written(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) if value else ""
