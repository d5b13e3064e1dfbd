"""The checkouts of an instance's steps: which identity, as whom, until when, or for whom one waits. Changes
nothing; where the credential lies is left out of what people see.
"""

from datetime import datetime
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from definitions.identity import Identity
from store import waits
from store.connection import Tx


class StepCheckout(BaseModel):
    """What one visit of a pam_checkout step has asked for."""

    model_config = ConfigDict(frozen=True)

    id: int
    """Of the session."""
    status: str
    identity: str
    variable_name: str | None
    username: str
    credential_type: str
    domain: str | None
    active_at: datetime | None
    deadline: datetime | None
    """Once it is active: when it ends at the latest."""
    ended_at: datetime | None
    end_reason: str
    waits: str | None
    """While it waits for its turn alone: for whom."""


class Held(NamedTuple):
    """A checkout as people see it, and the identity at its version."""

    view: StepCheckout
    identity: Identity


_OF_INSTANCE = """
SELECT c.*, i.name AS identity, v.definition, h.instance_id AS holder, h.deadline AS until,
       i.rotation_due_at IS NOT NULL AS replaced,
       (SELECT count(*) FROM checkouts o WHERE o.identity_id = c.identity_id AND o.id < c.id
          AND o.status = 'requested' AND o.ready AND (n.definition ->> 'exclusive')::boolean) AS before
FROM checkouts c JOIN identities i ON i.id = c.identity_id
JOIN identity_versions v ON v.identity_id = i.id AND v.version = c.identity_version
JOIN identity_versions n ON n.identity_id = i.id AND n.version = i.version
LEFT JOIN LATERAL (
    SELECT instance_id, deadline FROM checkouts
    WHERE c.status = 'requested' AND identity_id = c.identity_id AND status = 'active'
    ORDER BY deadline DESC, id DESC LIMIT 1) h ON true
WHERE c.instance_id = $1
"""


async def of_instance(tx: Tx, instance_id: int) -> dict[tuple[str, int], Held]:
    """By step and visit."""
    found: dict[tuple[str, int], Held] = {}
    for row in await tx.fetch(_OF_INSTANCE, instance_id):
        identity = Identity(name=row["identity"], **row["definition"])
        in_line = row["status"] == "requested" and row["ready"]
        view = StepCheckout(
            **{name: row[name] for name in StepCheckout.model_fields if name in row},
            username=identity.username,
            credential_type=identity.credential_type,
            domain=identity.domain,
            waits=waits.for_turn(identity.name, row) if in_line else None,
        )
        found[row["step_id"], row["visit"]] = Held(view, identity)
    return found
