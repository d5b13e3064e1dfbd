"""What a server may hold that is hard to write down: odd names, texts, values; drafts, archived things."""

from typing import Any

NAMES = [
    "plain",
    "with.dot",
    ".",
    "..",
    ".hidden",
    "-f",
    "ends.",
    "con",
    "COM1.log",
    "Upper",
    "upper",
    "two words",
    "a~b",
    "*?",
    '"quoted"',
    "it's",
    "[x]: #y, {z}",
    "null",
    "1e3",
    "2026-01-01",
    "Größe",
    "Gro\u0308ße",
    "Ελληνικά",
    "日本語のスクリプト",
    "🚀 deploy",
    "x" * 200,
    "長" * 200,
]
CONTENTS = [
    "echo hi\n",
    "echo hi",
    "a\r\nb\r\n",
    "a\rb\n",
    "\ufeffWrite-Host 1\r\n",
    "tab\t \n\n  x\n",
    "--- # |\n",
]


def fill(there: Any) -> None:
    """One script and one published workflow of every name, and some of every other state."""
    for number, name in enumerate(NAMES):
        language = ("bash", "python", "powershell")[number % 3]
        content = CONTENTS[number % len(CONTENTS)]
        there.post("/scripts", {"name": name, "language": language, "content": content})
        step = {"id": "a", "type": "command", "command": content}
        made = there.post("/workflows", {"name": name, "steps": [step]})
        there.post(f"/workflows/{made['id']}/publish")
    _fill_scripts(there)
    _fill_workflows(there, there.get("/scripts/full")["id"])


def _fill_scripts(there: Any) -> None:
    choices = [1, "1", True, 1.5, "on", "é\u2028"]
    parameters = [
        {"name": "a", "type": "choice", "choices": choices, "default": "on"},
        {"name": "b", "type": "number", "default": 1e-7, "required": True, "description": ""},
        {"name": "huge", "type": "number", "default": 1e300},
        {"name": "large", "type": "choice", "choices": [-1e17, 2e19, 1e22], "default": 1e22},
        {"name": "c", "description": "line\n\n  indented\n\ttab \n"},
    ]
    full = {"name": "full", "language": "python", "content": "1\n", "timeout_seconds": 1}
    there.post("/scripts", {**full, "parameters": parameters, "requires_elevation": True})
    there.post("/scripts", {"name": "gone", "language": "bash", "content": "1"})
    there.delete("/scripts/gone")


def _fill_workflows(there: Any, script_id: int) -> None:
    by_id = {"id": "b", "type": "script", "config": {"script_id": script_id, "parameters": {"b": "1"}}}
    empty = {"description": "", "inputs": [], "outputs": {"on": "é"}}
    for name in ("by-id", "edited"):
        there.post("/workflows", {"name": name, "steps": [by_id], **empty})
        there.post(f"/workflows/{name}/publish")
    branches = [{"name": "x", "steps": [by_id]}, {"steps": [{"id": "c", "type": "delay", "seconds": 1}]}]
    steps = [{"id": "p", "type": "parallel", "branches": branches}]
    there.post("/workflows", {"name": "nested", "steps": steps})
    step = {"id": "new", "type": "command", "command": "ls"}
    there.bring("/workflows/by-name/edited", {"name": "edited", "steps": [step]})
    unreadable = {"id": 1, "odd": {"x": [None, "\x85"]}}
    there.post("/workflows", {"name": "half", "description": " \r\n", "steps": [unreadable]})
    there.post("/workflows", {"name": "old", "steps": steps})
    there.delete("/workflows/old")
