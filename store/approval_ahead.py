"""What will run if people say yes to a request, as it is frozen when the request is opened. Changes nothing.

The steps up to the next gate, with the values, hosts and versions they have then.
"""

import json
from typing import Any

from definitions import ahead, variables
from definitions.ahead import ScriptAhead
from definitions.errors import Invalid
from definitions.parameters import Value
from definitions.references import references
from definitions.step_documents import write_step
from definitions.steps import JobStep, ScriptStep, Step
from definitions.variables import StepFacts
from definitions.workflow import Workflow, all_steps
from store import scripts, targets, workflows
from store.connection import Row, Tx


async def freeze(tx: Tx, instance: Row, gate: str) -> list[Value]:
    """The steps up to the next gate with the values and hosts they have now, as JSON. `instance` is the
    whole row."""
    workflow = await workflows.load_version(tx, instance["workflow_id"], instance["workflow_version"])
    reached = ahead.reached(workflow, gate)
    results = await _results(tx, instance["id"], [step for step, _ in reached])
    scope = variables.scope(
        inputs=instance["inputs"],
        instance={"id": instance["id"], "started_by": instance["started_by_name"]},
        results=results,
    )
    beside = {step.id for step in all_steps(_around(workflow, gate))} - results.keys()
    later = beside | {step.id for step, _ in reached}
    frozen: list[Value] = []
    for step, when in reached:
        more: dict[str, Any] = await _hosts(tx, instance, step) if isinstance(step, JobStep) else {}
        if isinstance(step, ScriptStep):
            step, more["script"] = await _script(tx, instance, step)
        described = ahead.describe(step, when, scope, later).model_copy(update=more)
        frozen.append(described.model_dump(mode="json", exclude_defaults=True))
    return frozen


def _around(workflow: Workflow, gate: str) -> tuple[Step, ...]:
    """The parallel steps the gate lies in: what runs beside it has no results yet."""
    return tuple(workflow.step(parallel) for parallel, _ in workflow.place(gate).branches[:1])


async def _results(tx: Tx, instance_id: int, steps: list[Step]) -> dict[str, StepFacts | None]:
    """What the steps refer to of those that have ended."""
    text = json.dumps([write_step(step) for step in steps], ensure_ascii=False)
    rows = await tx.fetch(
        """SELECT DISTINCT ON (step_id) step_id, facts FROM step_results
           WHERE instance_id = $1 AND step_id = ANY ($2) AND ended_at IS NOT NULL
           ORDER BY step_id, visit DESC""",
        instance_id,
        list({reference.step_id for reference in references(text)}),
    )
    return {
        row["step_id"]: None if row["facts"] is None else StepFacts.model_validate(row["facts"])
        for row in rows
    }


async def _hosts(tx: Tx, instance: Row, step: JobStep) -> dict[str, Any]:
    try:
        found = await targets.resolve(tx, list(step.hosts) or instance["host_ids"])
    except Invalid as error:
        return {"hosts_note": error.message}
    moving = [str(host) for host in step.hosts if str(host).startswith(("tag:", "group:"))]
    note = f"{' and '.join(moving)}: looked up again when the step runs" if moving else ""
    return {"hosts": tuple(host.name for host in found), "hosts_note": note}


async def _script(tx: Tx, instance: Row, step: ScriptStep) -> tuple[ScriptStep, ScriptAhead | None]:
    """The step with every parameter of its script, defaults too; and the script at its pinned version."""
    version = instance["pinned_scripts"].get(str(step.script))
    if version is None:
        return step, None
    script = await scripts.load_version(tx, int(step.script), version)
    given = {
        each.name: each.default if step.parameters.get(each.name) is None else step.parameters[each.name]
        for each in script.parameters
    }
    pins = instance["pinned_libraries"]
    found = ScriptAhead(
        id=int(step.script),
        name=script.name,
        version=version,
        libraries={name: pins[name]["version"] for name in script.libraries if name in pins},
        requires_elevation=script.requires_elevation,
    )
    return step.model_copy(update={"parameters": given}), found
