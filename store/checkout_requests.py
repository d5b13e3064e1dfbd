"""Asking people for a checkout, as an identity that requires approval wants it: by its own rule.

It is a request as any other (`store.approvals`); what a vote makes of the checkout is `checkouts.decided`.
"""

from definitions.identity import Identity
from definitions.parameters import Value
from definitions.resuming import Resumption
from store import approvals
from store.approvals import Question
from store.checkouts import Requested, Wanted
from store.connection import Tx


async def ask(
    tx: Tx,
    asked: Requested,
    wanted: Wanted,
    *,
    branch: str = "",
    limit_minutes: float | None = None,
    resumption: Resumption | None = None,
) -> int:
    """Open the request for a checkout, or find the one it has; its id. The caller holds the instance's
    lock. `limit_minutes`: how long the step may take, if that is shorter than people have by the rule.
    `resumption`: how the instance goes on that asks again for what it held, before any step does."""
    identity = asked.identity
    if identity.approval is None:
        raise ValueError(f"{identity.name} takes no approval")
    rule = identity.approval
    if limit_minutes is not None:
        rule = rule.model_copy(update={"timeout_minutes": min(limit_minutes, float(rule.timeout_minutes))})
    question = Question(
        title=f"Check out {identity.name}",
        description=wanted.reason,
        rule=rule,
        at=at(identity),
        askers=asked.asker.people,
        instance_id=wanted.instance_id,
        step_id=wanted.step_id,
        visit=wanted.visit,
        branch=branch,
        checkout_id=asked.id,
        about={"checkout": shown(asked)},
        resumption=resumption,
    )
    return await approvals.ask(tx, question)


def at(identity: Identity) -> str:
    """Where people are asked, for who reads that nobody can be."""
    return f"the checkout of {identity.name!r}"


def shown(asked: Requested) -> dict[str, Value]:
    """What people say yes to besides the steps: who gets whose account, on what terms."""
    identity = asked.identity
    return {
        "id": asked.id,
        "person": asked.asker.name,
        "set_going": [hand.model_dump() for hand in asked.asker.hands],
        "identity": identity.name,
        "version": asked.version,
        "username": identity.username,
        "domain": identity.domain,
        "credential_type": identity.credential_type,
        "host": identity.host,
        "vault": identity.vault,
        "minutes": asked.minutes,
    }
