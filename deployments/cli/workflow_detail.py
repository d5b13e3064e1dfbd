"""What a workflow's definition says, as text: its steps in words. What users wrote is made harmless."""

from collections.abc import Mapping

from definitions.harmless import visible
from definitions.parameters import Value, text_of
from definitions.step_words import StepWords, in_words
from definitions.steps import ScriptStep
from definitions.workflow import Workflow, all_steps, parse
from deployments.cli.connection import Connection
from deployments.cli.errors import Refused


def print_definition(connection: Connection, title: str, document: object) -> None:
    """Every step: what it does, on which hosts, and where it leads; then the outputs."""
    workflow, _ = parse(document)
    if workflow is None:
        print(f"\n{title} can't be read yet.")
        return
    print(f"\n{title}")
    for parameter in workflow.inputs:
        needed = ", required" if parameter.required else ""
        print(visible(f"  input {parameter.name}: {parameter.type}{needed}"))
    for step in in_words(workflow, _script_names(connection, workflow)):
        _print_step(step)
    for name, text in workflow.outputs.items():
        print(visible(f"  output {name}: {text}"))


def _print_step(step: StepWords) -> None:
    name = "" if step.name == step.id else f" “{step.name}”"
    branch = f", {step.branch}" if step.branch else ""
    print(visible(f"\n  {step.id} ({step.type}{branch}){name}"))
    print(visible(f"    {step.does}{':' if step.text else ''}"))
    for line in step.text.splitlines():
        print(visible(f"      {line}"))
    if step.hosts:
        print(visible(f"    on {', '.join(step.hosts)}"))
    for field, value in step.settings.items():
        print(visible(f"    {field}: {_said(value)}"))
    routes = ", ".join(f"{how} → {target}" for how, target in step.routes.items())
    print(visible(f"    {routes}"))


def _said(value: Value) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {text_of(inner)}" for name, inner in value.items())
    return text_of(value)


def _script_names(connection: Connection, workflow: Workflow) -> dict[int, str]:
    """The names of the scripts it runs by their ids, of those that may be looked at."""
    found: dict[int, str] = {}
    ids = {step.script for step in all_steps(workflow.steps) if isinstance(step, ScriptStep)}
    for number in sorted(each for each in ids if isinstance(each, int)):
        try:
            found[number] = connection.get(f"/scripts/{number}")["name"]
        except Refused:
            continue
    return found
