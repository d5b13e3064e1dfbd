"""What will run if people say yes to a request, as it is frozen when the request is opened. Changes nothing.

The steps up to the next gate, with the values, hosts and versions they have then.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from definitions import ahead, variables
from definitions.ahead import Piece, ScriptAhead, StepAhead
from definitions.errors import Conflict, Invalid
from definitions.parameters import Value, text_of
from definitions.references import references
from definitions.resuming import Resumption
from definitions.step_documents import write_step
from definitions.steps import JobStep, ScriptStep, Step
from definitions.variables import StepFacts
from definitions.workflow import Workflow, all_steps
from store import scripts, targets, workflows
from store.connection import Row, Tx
from store.references import listed
from store.targets import HostRef


async def freeze(tx: Tx, instance: Row, gate: str, resumption: Resumption | None = None) -> list[Value]:
    """The steps up to the next gate with the values and hosts they have now, as JSON. `instance` is the
    whole row. `resumption`: how it goes on, where that does not wait at the gate."""
    workflow = await workflows.load_version(tx, instance["workflow_id"], instance["workflow_version"])
    points = [gate] if resumption is None else [step.id for step in resumption.points]
    if resumption is None:
        reached = ahead.reached(workflow, gate)
    else:
        reached = ahead.reached_anew(workflow, points, resumption.begun)
    results = await _results(tx, instance["id"], [step for step, _ in reached])
    scope = variables.scope(
        inputs=instance["inputs"],
        instance={"id": instance["id"], "started_by": instance["started_by_name"]},
        results=results,
    )
    beside = {step.id for step in all_steps(_around(workflow, points))} - results.keys()
    later = beside | {step.id for step, _ in reached}
    checked_out = await _checked_out(tx, instance["id"])
    identities = ahead.identities(workflow, [step.id for step, _ in reached], checked_out, later)
    frozen: list[Value] = []
    for step, when in reached:
        described = ahead.describe(step, when, replace(scope, identities=identities[step.id]), later)
        more: dict[str, Any] = await _hosts(tx, instance, step) if isinstance(step, JobStep) else {}
        if isinstance(step, ScriptStep):
            more |= await _script(tx, instance, step, described)
        frozen.append(described.model_copy(update=more).model_dump(mode="json", exclude_defaults=True))
    return frozen


def _around(workflow: Workflow, points: Sequence[str]) -> tuple[Step, ...]:
    """The parallel steps these lie in: what runs beside them may have no results yet."""
    found = [parallel for point in points for parallel, _ in workflow.place(point).branches[:1]]
    return tuple(workflow.step(parallel) for parallel in dict.fromkeys(found))


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


async def _checked_out(tx: Tx, instance_id: int) -> list[tuple[str, StepFacts]]:
    """What its checkout steps have left, in the order in which they ended."""
    rows = await tx.fetch(
        """SELECT step_id, facts FROM step_results WHERE instance_id = $1 AND kind = 'pam_checkout'
             AND status = 'completed' ORDER BY ended_at, id""",
        instance_id,
    )
    return [(row["step_id"], StepFacts.model_validate(row["facts"])) for row in rows]


async def _hosts(tx: Tx, instance: Row, step: JobStep) -> dict[str, Any]:
    try:
        found = await targets.resolve(tx, list(step.hosts) or instance["host_ids"], of_step=True)
    except Invalid as error:
        return {"hosts_note": error.message}
    moving = _moving(step)
    note = f"{moving}: if this means other hosts when the step begins, the step fails" if moving else ""
    return {"hosts": tuple(host.name for host in found), "hosts_note": note}


def _moving(step: JobStep) -> str:
    """The targets of a step that may mean other hosts tomorrow."""
    return " and ".join(str(host) for host in step.hosts if str(host).startswith(("tag:", "group:")))


async def confirm_hosts(tx: Tx, instance_id: int, step: JobStep, hosts: Sequence[HostRef]) -> None:
    """`Conflict` when a step that begins means other hosts than people have said yes to.

    Asked is every gate of the instance that named the step, as it was approved last: two of them that lie
    in two branches have each seen their own. A step that no gate leads to may mean whom it likes.
    """
    moving = _moving(step)
    if not moving:
        return
    rows = await tx.fetch(
        """SELECT DISTINCT ON (r.step_id) r.id, ahead.step -> 'hosts' AS hosts
           FROM approval_requests r CROSS JOIN LATERAL json_array_elements(r.frozen -> 'ahead') ahead (step)
           WHERE r.instance_id = $1 AND r.status = 'approved' AND ahead.step ->> 'step' = $2
           ORDER BY r.step_id, r.visit DESC""",
        instance_id,
        step.id,
    )
    meant = {host.name for host in hosts}
    for row in rows:
        approved = set(row["hosts"] or ())
        if approved != meant:
            changed = [f"+{name}" for name in sorted(meant - approved)]
            changed += [f"-{name}" for name in sorted(approved - meant)]
            raise Conflict(
                f"The hosts of {moving} have changed since it was approved (approval {row['id']}): "
                f"{listed(changed)}."
            )


async def _script(tx: Tx, instance: Row, step: ScriptStep, described: StepAhead) -> dict[str, Any]:
    """The script at its pinned version, and the value of each of its parameters, defaults too."""
    version = instance["pinned_scripts"].get(str(step.script))
    if version is None:
        return {}
    script = await scripts.load_version(tx, int(step.script), version)
    pins = instance["pinned_libraries"]
    found = ScriptAhead(
        id=int(step.script),
        name=script.name,
        version=version,
        libraries={name: pins[name]["version"] for name in script.libraries if name in pins},
        requires_elevation=script.requires_elevation,
    )
    literal = {each.name: each.default for each in script.parameters} | {"run as": script.run_as}
    values = {
        name: described.values.get(name, (Piece(text=ahead.shown(text_of(value))),))
        for name, value in literal.items()
        if name in described.values or value is not None
    }
    return {"script": found, "values": values | described.values}
