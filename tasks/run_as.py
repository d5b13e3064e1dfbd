"""Whom a step's jobs run as: the checkout they name, which has to be active when they are made.

Reads no credential: the job's host gets that, when its agent takes the job up.
"""

from typing import Any

from definitions import variables
from definitions.errors import OpsgateError
from definitions.lifecycles.checkout import CheckoutStatus
from definitions.rollout import not_in_time
from definitions.routing import Active
from definitions.steps import JobStep
from store import checkout_jobs, step_checkouts
from store.connection import Tx
from store.engine import commits, facts, host_work
from store.engine.commits import StepRow
from tasks.step_run import Settled, StepRun, Waiting, failed


class NotYet(OpsgateError):
    """What the step runs as is asked for once more, and not active: the instance was resumed."""

    def __init__(self, name: str, checkout_id: int) -> None:
        super().__init__(f"`{name}` is not checked out again yet.")
        self.name = name
        self.checkout_id = checkout_id


def shown(run: StepRun) -> dict[str, Any]:
    """By which name it runs as an identity, for the step's input; nothing if it does not. Raises `Invalid`
    if that was not checked out."""
    assert isinstance(run.step, JobStep)
    template = run.step.run_as
    return {} if template is None else {"run_as": variables.resolve_run_as(template, run.scope())}


async def checkout(tx: Tx, run: StepRun) -> int | None:
    """What jobs that begin now run by; None: as the agent's user. `Conflict` says that it has ended."""
    for name in shown(run).values():
        known = run.situation.checkouts(name, run.active.step)
        found = await checkout_jobs.usable(tx, name, known[-1][1].id, [step for step, _ in known])
        if not found.active:
            raise NotYet(name, found.id)
        return found.id
    return None


async def wait(run: StepRun, row: StepRow, identity: NotYet) -> Settled | Waiting:
    """For people, or for its turn, as the checkout itself would, for as long as the step has time. It is open
    from now on, as `row`."""
    situation = run.situation
    if run.active not in situation.results:
        await commits.open_step(run.db, run.lease, row)
    async with run.db.connection() as tx:
        held = await step_checkouts.of_instance(tx, situation.instance_id)
        limit = await host_work.deadline_of_step(tx, situation.instance_id, run.active)
    if limit["expired"]:
        return failed(not_in_time(run.step))
    step, view = next((at, view) for at, (view, _) in held.items() if view.id == identity.checkout_id)
    if view.waits is not None:
        return Waiting("delay", view.waits, limit["deadline"])
    gate = await facts.gate_of_step(run.db, situation.instance_id, Active(*step))
    if gate is not None and view.status == CheckoutStatus.REQUESTED:
        title = f"Waits for a decision: {gate.title}"
        return Waiting("gate", title, limit["deadline"], gate.request_id)
    # That has just happened, or is undone.
    return Waiting("delay", f"Waits until {identity.name} is checked out.", limit["deadline"])
