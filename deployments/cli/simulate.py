"""`opsgate workflow simulate`: walk a definition file on paper, under outcomes given by flags or a file.

From the file alone, without a server: it says which checks were left out. With `--online` the server
walks it, and knows scripts, hosts and people. Neither touches a host.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from deployments.cli.connection import Connection
from deployments.cli.errors import WrongUse, problem_lines
from deployments.cli.output import Json, print_json
from deployments.cli.values import FORM, collect, refuse_open
from deployments.cli.workflow import read_document


def _many(text: str, name: str) -> Any:
    return Parameter(name=name, negative="", help=f"{text}; repeatable.")


Inputs = Annotated[list[str], Parameter(name="--input", negative="", help=f"An input, {FORM}")]
Hosts = Annotated[list[str], _many("A host of the instance", "--host")]
Failing = Annotated[list[str], _many("A step that fails", "--fail")]
Outputs = Annotated[list[str], _many("What a step prints, STEP=TEXT or STEP=@FILE", "--stdout")]
Codes = Annotated[list[str], _many("A step's exit code, STEP=NUMBER", "--exit-code")]
Votes = Annotated[list[str], _many("A vote at a gate, STEP=approve or STEP=reject", "--vote")]
Given = Annotated[Path | None, Parameter(help="A YAML or JSON file: inputs, hosts, and steps with outcomes.")]
Online = Annotated[bool, Parameter(negative="", help="Have the server walk it, against what exists there.")]


def simulate(
    file: Path,
    *,
    scenario: Given = None,
    input: Inputs = [],  # noqa: B006
    host: Hosts = [],  # noqa: B006
    fail: Failing = [],  # noqa: B006
    stdout: Outputs = [],  # noqa: B006
    exit_code: Codes = [],  # noqa: B006
    vote: Votes = [],  # noqa: B006
    online: Online = False,
    json: Json = False,
) -> None:
    """Walk a definition under given outcomes; print its path, what each step would be sent, and why."""
    document = read_document(file)
    given = _read(scenario) if scenario is not None else {}
    declared = document.get("inputs") if isinstance(document, dict) else None
    refuse_open(input, lambda: declared, "--input")
    if input:
        given["inputs"] = {**_part(given, "inputs"), **collect(input, (), "--input")}
    if host:
        given["hosts"] = host
    steps = dict(_part(given, "steps"))
    for step in fail:
        _told(steps, step)["outcome"] = "failure"
    for step, text in collect(stdout, (), "--stdout").items():
        told = _told(steps, step)
        told.pop("json", None)  # of the file: the same as `stdout`
        told["stdout"] = text
    for step, text in collect(exit_code, (), "--exit-code").items():
        _told(steps, step)["exit_code"] = _number(text)
    for entry in vote:
        step, _, decision = entry.partition("=")
        _told(steps, step).setdefault("votes", []).append(decision)
    if steps:
        given["steps"] = steps
    found = _ask_server(document, given) if online else _on_paper(document, given)
    if json:
        print_json(found)
    else:
        _show(found)


def _on_paper(document: object, scenario: dict[str, Any]) -> dict[str, Any]:
    from definitions.examination import read_workflow
    from definitions.simulation import simulate as walk

    found = walk(read_workflow(document), scenario, datetime.now(UTC))
    return found.model_dump(mode="json")


def _ask_server(document: object, scenario: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = Connection.find().post(
        "/workflows/simulate", {"workflow": document, "scenario": scenario}
    )
    return found


def _read(file: Path) -> dict[str, Any]:
    from deployments.definition_files import load

    if not file.is_file():
        raise WrongUse(f"There is no file {file}.")
    found = load(file)
    if not isinstance(found, dict):
        raise WrongUse(f"{file} is no scenario: write `inputs`, `hosts` and `steps`.")
    return found


def _part(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = given.get(name) or {}
    if not isinstance(part, dict):
        raise WrongUse(f"`{name}` of the scenario is written as `name: value` pairs.")
    return part


def _told(steps: dict[str, Any], step: str) -> dict[str, Any]:
    """What is given of one step, to add to it."""
    told = steps.get(step, {})
    told = {"outcome": told} if isinstance(told, str) else told
    if not isinstance(told, dict):
        raise WrongUse(f"What the scenario says of `{step}` is written as `name: value` pairs.")
    steps[step] = dict(told)
    found: dict[str, Any] = steps[step]
    return found


def _number(text: str) -> int | str:
    return int(text) if text.lstrip("-").isdigit() and text.isascii() else text


def _show(found: Mapping[str, Any]) -> None:
    from definitions.harmless import visible

    for line in _lines(found):
        print(visible(line))


def _lines(found: Mapping[str, Any]) -> list[str]:
    import json

    def said(value: object) -> str:
        return json.dumps(value, ensure_ascii=False)

    lines = [f"input {name} = {said(value)}" for name, value in found["inputs"].items()]
    for step in found["path"]:
        indent = "  " * (1 + step["branch"].count("/"))
        name = "" if step["name"] == step["step"] else f" “{step['name']}”"
        lines.append(f"{indent}{step['step']} ({step['type']}){name}: {step['status']}")
        for field, value in step["input"].items():
            if value not in ("", [], {}, None):
                lines.append(f"{indent}  {field}: {said(value)}")
        for host in step["hosts"]:
            printed = f", prints {said(host['stdout'])}" if host["stdout"] else ""
            lines.append(f"{indent}  on {host['host']}: exit code {host['exit_code']}{printed}")
        lines.append(f"{indent}  {step['reason']}")
    lines += [f"output {name} = {said(value)}" for name, value in found["outputs"].items()]
    lines.append(f"{found['status']}: {found['reason']}")
    return lines + list(problem_lines(found["problems"]))
