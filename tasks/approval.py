"""An approval step: opens the request people decide on; what counts is the store's answer.

A resume in Prefect is only a hint to look again.
"""

from typing import Any

from definitions import variables
from definitions.errors import Invalid, OpsgateError
from definitions.lifecycles.approval import ApprovalStatus
from definitions.parameters import Value
from definitions.steps import ApprovalStep
from store import approvals, targets
from store.connection import Tx
from store.engine import commits, facts
from tasks.host_jobs import refused
from tasks.step_run import Settled, StepRun, Waiting, completed, failed


async def begin(run: StepRun) -> Settled | Waiting:
    """Resolve the texts, freeze what will be decided on, open the request."""
    step = run.step
    assert isinstance(step, ApprovalStep)
    scope = run.scope()
    try:
        title = variables.resolve_text(step.title or step.label, scope)
        description = variables.resolve_text(step.description, scope)
    except Invalid as error:
        return failed(error.message, {"title": step.title})
    sent: dict[str, Any] = {"title": title, "description": description, "approvers": list(step.approvers)}

    async def create(tx: Tx) -> None:
        hosts = await targets.resolve(tx, run.situation.host_ids)
        frozen: dict[str, Value] = {
            "instance": run.situation.instance_id,
            "workflow": run.situation.workflow.name,
            "workflow_version": run.situation.workflow_version,
            "scripts": {str(key): version for key, version in run.situation.pinned_scripts.items()},
            "inputs": run.situation.inputs,
            "hosts": [{"id": host.id, "name": host.name} for host in hosts],
            "step": run.active.step,
            "title": title,
            "description": description,
        }
        await approvals.open_request(
            tx,
            instance_id=run.situation.instance_id,
            step_id=run.active.step,
            visit=run.active.visit,
            step=step,
            title=title,
            description=description,
            frozen=frozen,
            started_by=run.situation.started_by,
            branch=run.situation.workflow.branch(run.active.step),
        )

    try:
        await commits.open_step(run.db, run.lease, run.row(sent, title), create=create)
    except OpsgateError as error:
        return refused(error, sent)
    return await settle(run)


async def settle(run: StepRun) -> Settled | Waiting:
    """Approved goes on; rejected, expired and withdrawn take the failure path."""
    gate = await facts.gate_of_step(run.db, run.situation.instance_id, run.active)
    if gate is None:
        raise RuntimeError(f"approval {run.active.step} waits and has no request")
    if gate.status == ApprovalStatus.PENDING:
        return Waiting("gate", f"Waits for a decision: {gate.title}", gate.deadline, gate.request_id)
    if gate.status == ApprovalStatus.APPROVED:
        return completed(gate.decision_reason)
    return failed(gate.decision_reason or f"The approval was {gate.status}.")
