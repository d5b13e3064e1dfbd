"""A checkout: steps after it may run as the identity. It waits for people, if the identity wants that, and
for its turn, if one at a time holds it; what counts is the store's answer. No credential is read here.
"""

from typing import Any

from definitions import variables
from definitions.errors import Invalid, OpsgateError
from definitions.identity import Identity
from definitions.lifecycles.checkout import CheckoutStatus
from definitions.rollout import not_in_time
from definitions.steps import PamCheckoutStep
from definitions.variables import CheckoutFacts, StepFacts
from store import checkout_requests, checkouts, step_checkouts
from store.checkouts import Wanted
from store.connection import Tx
from store.engine import commits, facts, host_work
from store.failpoints import failpoint
from store.step_checkouts import StepCheckout
from tasks.host_jobs import refused
from tasks.step_run import Settled, StepRun, Waiting, completed, failed


async def begin(run: StepRun) -> Settled | Waiting:
    """Ask for the identity, and people for their yes where it takes one, in one transaction."""
    step = _step(run)
    sent: dict[str, Any] = {"identity": step.identity, "reason": step.reason}
    try:
        sent["reason"] = variables.resolve_text(step.reason, run.scope())
    except Invalid as error:
        return failed(error.message, sent)

    wanted = Wanted(
        instance_id=run.situation.instance_id,
        step_id=run.active.step,
        visit=run.active.visit,
        identity=step.identity,
        variable_name=step.variable_name,
        reason=sent["reason"],
        minutes=step.duration_minutes,
    )

    async def create(tx: Tx) -> None:
        asked = await checkouts.request(tx, wanted)
        if asked.needs_approval and asked.status == CheckoutStatus.REQUESTED:
            await checkout_requests.ask(
                tx,
                asked,
                wanted,
                branch=run.situation.workflow.branch(run.active.step),
                limit_minutes=None if step.timeout_minutes is None else float(step.timeout_minutes),
            )

    try:
        await commits.open_step(run.db, run.lease, run.row(sent), create=create)
    except OpsgateError as error:
        return refused(error, sent)
    failpoint("worker.checkout_requested")
    return await settle(run)


async def settle(run: StepRun) -> Settled | Waiting:
    """Active goes on, with what later steps may know of the identity; ended before that is a failure."""
    situation, active = run.situation, run.active
    async with run.db.connection() as tx:
        found = await step_checkouts.of_instance(tx, situation.instance_id)
        limit = await host_work.deadline_of_step(tx, situation.instance_id, active)
    if (active.step, active.visit) not in found:
        raise RuntimeError(f"{active.step} waits and has asked for nothing")
    checkout, identity = found[active.step, active.visit]
    if checkout.status == CheckoutStatus.ACTIVE:
        return completed(f"Until {checkout.deadline:%Y-%m-%d %H:%M:%S} UTC.", facts=_left(checkout, identity))
    if checkout.status != CheckoutStatus.REQUESTED:
        return failed(checkout.end_reason or f"The checkout was {checkout.status}.")
    if limit["expired"]:
        return failed(not_in_time(_step(run)))
    if checkout.waits is not None:
        # A wait like a delay's, until the step's own deadline; the keeper wakes it when it is its turn.
        return Waiting("delay", checkout.waits, limit["deadline"])
    gate = await facts.gate_of_step(run.db, situation.instance_id, active)
    if gate is None:
        raise RuntimeError(f"{active.step} waits for people, and nobody was asked")
    # The request's own deadline, which the keeper sees to, is not after the step's: it was opened with the
    # step, as a resume asks for nothing that a step to come asks for.
    return Waiting("gate", f"Waits for a decision: {gate.title}", request_id=gate.request_id)


def _left(checkout: StepCheckout, identity: Identity) -> StepFacts:
    names = [name for name in (checkout.variable_name, identity.name) if name is not None]
    return StepFacts(
        checkout=CheckoutFacts(
            id=checkout.id,
            names=tuple(dict.fromkeys(names)),
            vault=identity.vault,
            path=identity.path,
            username=identity.username,
            credential_type=identity.credential_type,
            domain=identity.domain,
        )
    )


def _step(run: StepRun) -> PamCheckoutStep:
    assert isinstance(run.step, PamCheckoutStep)
    return run.step
