"""The form of a recurring job: from its fields to the document that is saved, and back. Holds no rule."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import FormData

from approvals_ui.forms import text
from definitions.errors import Invalid
from definitions.job_types import NAMES, PRIORITY_NAMES, fields_of, from_words
from definitions.problems import Problem

_TYPES = tuple(name for name in NAMES if name not in ("command", "script"))
KINDS = {
    "command": "a command",
    "script": "a saved script",
    "workflow": "a workflow",
    **{name: f"a job: {name.replace('_', ' ')}" for name in _TYPES},
    "job": "another job, as JSON",
}
DETAILS = {name: fields_of(name) for name in _TYPES}
"""What may stand in the details of each type, in words."""
PRIORITIES = {"": "that of its type", **{name: name for name in PRIORITY_NAMES}}
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
    elif kind in ("script", "command") or kind in _TYPES:
        made["job"] = {"type": kind, "hosts": hosts, "payload": _payload(kind, fields)}
        if priority := text(fields, "priority"):
            made["job"]["priority"] = priority
    else:
        made["job"] = {**_json(fields, "job"), "hosts": hosts}
    return made


def _payload(kind: str, fields: FormData) -> dict[str, Any]:
    if kind == "script":
        return {"script": text(fields, "script").strip(), "parameters": _json(fields, "values")}
    if kind == "command":
        return {"command": text(fields, "command")}
    return from_words(kind, _lines(text(fields, "details")))


def _lines(details: str) -> dict[str, str]:
    """The words of lines like `action=restart`."""
    lines = [line.strip() for line in details.splitlines() if line.strip()]
    if wrong := [line for line in lines if "=" not in line]:
        message = f"A line of the details does not say what it is: {wrong[0][:80]}"
        fix = "Write one `name=value` a line."
        raise Invalid(
            "The details can't be read.",
            [Problem(pointer="/details", code="no-name", message=message, fix=fix)],
        )
    pairs = (line.partition("=") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}


def filled(definition: Mapping[str, Any]) -> dict[str, str]:
    """The fields that say the same as a definition."""
    shown = {key: str(definition[key]) for key in (*_PLAIN, *_NUMBERS) if key in definition}
    shown["enabled"] = "yes" if definition["enabled"] else ""
    of = definition.get("workflow") or definition["job"]
    shown["hosts"] = " ".join(of["hosts"])
    shown["priority"] = of.get("priority", "")
    payload = of.get("payload", {})
    if "workflow" in definition:
        return {**shown, "kind": "workflow", "workflow": of["name"], "values": _written(of["inputs"])}
    if payload.keys() <= {"script", "parameters"} and "script" in payload:
        values = _written(payload.get("parameters") or {})
        return {**shown, "kind": "script", "script": str(payload["script"]), "values": values}
    if of["type"] == "command" and payload.keys() == {"command"}:
        return {**shown, "kind": "command", "command": payload["command"]}
    if of["type"] in _TYPES and (words := _words(of["type"], payload)) is not None:
        return {**shown, "kind": of["type"], "details": words}
    rest = {key: value for key, value in of.items() if key != "hosts"}
    return {**shown, "kind": "job", "job": _written(rest)}


def _words(type_: str, payload: Mapping[str, Any]) -> str | None:
    """The lines that are this payload, or None if no lines are."""
    words = {name: _word(value) for name, value in payload.items()}
    lines = "\n".join(f"{name}={word}" for name, word in words.items())
    return lines if from_words(type_, _lines(lines)) == dict(payload) else None


def _word(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


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
