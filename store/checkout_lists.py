"""Lists of checkouts: who holds which identity, why, until when, and how it ended. Changes nothing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from definitions.lifecycles.checkout import CheckoutStatus
from definitions.permissions import Actor, require
from store import references
from store.connection import Database
from store.pages import Page, before, bounded, cut

VIEW = "pam_vaults.view"
TRAIL = 500
"""Most rows of the audit trail that come with a checkout."""
_ROWS = """SELECT c.id, c.status, i.name AS identity, c.identity_version, c.instance_id, c.step_id, c.visit,
    c.variable_name, c.reason, c.minutes, u.name AS person, c.created_at, c.active_at, c.deadline,
    c.ended_at, c.end_reason,
    ARRAY(SELECT j.id FROM jobs j WHERE j.checkout_id = c.id ORDER BY j.id) AS jobs,
    (SELECT min(j.execution_id) FROM jobs j WHERE j.checkout_id = c.id) AS execution_id,
    (SELECT r.id FROM approval_requests r WHERE r.checkout_id = c.id) AS approval_id
FROM checkouts c JOIN identities i ON i.id = c.identity_id LEFT JOIN users u ON u.id = c.for_id"""


class CheckoutView(BaseModel):
    """A checkout."""

    model_config = ConfigDict(frozen=True)

    id: int
    status: CheckoutStatus
    identity: str
    identity_version: int
    instance_id: int | None
    """None: it was made for jobs alone."""
    step_id: str | None
    visit: int | None
    variable_name: str | None
    reason: str
    minutes: int
    """How long it may last, at most."""
    person: str | None
    """Who started the instance, or resumed it last, or asked for the jobs."""
    created_at: datetime
    active_at: datetime | None
    deadline: datetime | None
    ended_at: datetime | None
    end_reason: str
    jobs: list[int]
    """Those that run by it."""
    execution_id: int | None
    """What made them, if that was a script's execution."""
    approval_id: int | None
    """The request whether it may be used."""


class Holder(BaseModel):
    """Who holds an identity now."""

    model_config = ConfigDict(frozen=True)

    checkout_id: int
    person: str | None
    deadline: datetime


class TrailRow(BaseModel):
    """What the audit trail has of a checkout, or of its identity for it: who did what, when."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    actor_name: str
    action: str
    detail: dict[str, Any]


class CheckoutDetail(CheckoutView):
    """A checkout with everything that became of it."""

    trail: list[TrailRow]
    """The oldest first."""


async def listing(
    db: Database,
    actor: Actor,
    *,
    status: Sequence[CheckoutStatus] = (),
    identity: str | None = None,
    instance: int | None = None,
    limit: int = 50,
    after: str | None = None,
) -> Page[CheckoutView]:
    """Checkouts, newest first; those of some statuses, an identity by name or id, an instance."""
    require(actor, VIEW)
    number, name = (None, None) if identity is None else references.split(identity)
    rows = await db.fetch(
        f"""{_ROWS} WHERE c.id < $1 AND ($2::text[] = '{{}}' OR c.status = ANY ($2))
              AND ($3::bigint IS NULL OR i.id = $3) AND ($4::text IS NULL OR i.name = $4)
              AND ($5::bigint IS NULL OR c.instance_id = $5)
            ORDER BY c.id DESC LIMIT $6""",
        before(after),
        [str(each) for each in status],
        number,
        name,
        instance,
        bounded(limit) + 1,
    )
    return cut([CheckoutView(**row) for row in rows], limit, lambda checkout: checkout.id)


async def holders(db: Database, actor: Actor, identities: Sequence[str]) -> dict[str, list[Holder]]:
    """Who holds each of these identities now, by name; one that nobody holds is left out."""
    require(actor, VIEW)
    rows = await db.fetch(
        """SELECT i.name, c.id AS checkout_id, u.name AS person, c.deadline
           FROM checkouts c JOIN identities i ON i.id = c.identity_id LEFT JOIN users u ON u.id = c.for_id
           WHERE c.status = 'active' AND i.name = ANY ($1) ORDER BY c.id""",
        list(identities),
    )
    found: dict[str, list[Holder]] = {}
    for row in rows:
        holder = Holder(checkout_id=row["checkout_id"], person=row["person"], deadline=row["deadline"])
        found.setdefault(row["name"], []).append(holder)
    return found


async def show(db: Database, actor: Actor, checkout_id: int) -> CheckoutDetail:
    """One checkout, with its trail."""
    require(actor, VIEW)
    async with db.connection() as tx:
        row = await tx.fetchrow(f"{_ROWS} WHERE c.id = $1", checkout_id)
        if row is None:
            raise references.missing("checkout", checkout_id)
        trail = await tx.fetch(
            f"""SELECT at, actor_name, action, detail FROM audit
                WHERE subject_kind = 'checkout' AND subject_id = $1
                   OR subject_kind = 'identity' AND detail -> 'checkout' = to_jsonb($1::bigint)
                      AND subject_id = (SELECT identity_id FROM checkouts WHERE id = $1)
                ORDER BY id LIMIT {TRAIL}""",
            checkout_id,
        )
    return CheckoutDetail(**row, trail=[TrailRow(**each) for each in trail])
