"""Organisation secrets: what a host needs to enrol. Shown once, with an end and a use limit."""

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from definitions.errors import Invalid, NotFound
from definitions.permissions import Actor, require
from store import audit, shown_once
from store.connection import Database, Tx
from store.pages import Page, before, bounded, cut

MAX_LIFETIME = timedelta(days=90)
MAX_USES = 10_000


class OrgSecretView(BaseModel):
    """An organisation secret, without the secret."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    max_uses: int
    uses: int
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


class NewOrgSecret(BaseModel):
    """A secret just made: the only time it is shown."""

    model_config = ConfigDict(frozen=True)

    id: int
    secret: str
    expires_at: datetime


async def create(
    db: Database, actor: Actor, name: str, max_uses: int = 1, lifetime: timedelta = timedelta(hours=1)
) -> NewOrgSecret:
    """Make a secret with which up to `max_uses` hosts can enrol within `lifetime`."""
    require(actor, "hosts.manage")
    if not name.strip() or len(name) > 200:
        raise Invalid("An organisation secret needs a name of at most 200 characters, to know it by.")
    if not 1 <= max_uses <= MAX_USES or not timedelta(0) < lifetime <= MAX_LIFETIME:
        raise Invalid(f"A secret is good for 1 to {MAX_USES} hosts, and at most {MAX_LIFETIME.days} days.")
    secret = shown_once.fresh("ogs_")
    async with db.transaction() as tx:
        row = await tx.fetchrow(
            """INSERT INTO org_secrets (name, secret_sha256, max_uses, created_by, expires_at)
               VALUES ($1, $2, $3, $4, now() + $5) RETURNING id, expires_at""",
            name.strip(),
            shown_once.digest(secret),
            max_uses,
            actor.person,
            lifetime,
        )
        assert row is not None
        await audit.record(
            tx, actor, "org_secret.create", "org_secret", row["id"], name=name.strip(), max_uses=max_uses
        )
    return NewOrgSecret(id=row["id"], secret=secret, expires_at=row["expires_at"])


async def spend(tx: Tx, secret: str) -> int | None:
    """Use a secret once more; its id, or None if it is unknown, over, revoked or used up."""
    found: int | None = await tx.fetchval(
        """UPDATE org_secrets SET uses = uses + 1
           WHERE secret_sha256 = $1 AND revoked_at IS NULL AND expires_at > now() AND uses < max_uses
           RETURNING id""",
        shown_once.digest(secret),
    )
    return found


async def revoke(db: Database, actor: Actor, secret_id: int) -> None:
    """End a secret. Hosts that enrolled with it stay."""
    require(actor, "hosts.manage")
    async with db.transaction() as tx:
        name = await tx.fetchval(
            "UPDATE org_secrets SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 RETURNING name",
            secret_id,
        )
        if name is None:
            raise NotFound(f"There is no organisation secret {secret_id}.")
        await audit.record(tx, actor, "org_secret.revoke", "org_secret", secret_id, name=name)


async def listing(
    db: Database, actor: Actor, limit: int = 50, after: str | None = None
) -> Page[OrgSecretView]:
    """Organisation secrets, newest first."""
    require(actor, "hosts.manage")
    rows = await db.fetch(
        """SELECT id, name, max_uses, uses, created_at, expires_at, revoked_at FROM org_secrets
           WHERE id < $1 ORDER BY id DESC LIMIT $2""",
        before(after),
        bounded(limit) + 1,
    )
    return cut([OrgSecretView(**row) for row in rows], limit, lambda secret: secret.id)
