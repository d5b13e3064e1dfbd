"""An approval step: opens the request people decide on; what counts is the store's answer.

A resume in Prefect is only a hint to look again.
"""

from typing import Any

from definitions import variables
from definitions.errors import Invalid, OpsgateError
from definitions.lifecycles.approval import ApprovalStatus
from definitions.steps import ApprovalStep
from store import approvals
from store.connection import Tx
from store.engine import commits, facts
from tasks.host_jobs import refused
from tasks.step_run import Settled, StepRun, Waiting, completed, failed


async def begin(run: StepRun) -> Settled | Waiting:
    """Resolve the texts and open the request."""
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
        await approvals.open_request(
            tx,
            instance_id=run.situation.instance_id,
            step_id=run.active.step,
            visit=run.active.visit,
            step=step,
            title=title,
            description=description,
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
        return Waiting("gate", f"Waits for a decision: {gate.title}", request_id=gate.request_id)
    if gate.status == ApprovalStatus.APPROVED:
        return completed(gate.decision_reason)
    return failed(gate.decision_reason or f"The approval was {gate.status}.")
