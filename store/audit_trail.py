"""Reading the audit trail. Writing is `store.audit`."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from definitions.permissions import Actor, require
from store.connection import Database
from store.pages import Page, before, bounded, cut


class AuditRow(BaseModel):
    """Who did what to which thing."""

    model_config = ConfigDict(frozen=True)

    id: int
    at: datetime
    actor_kind: str
    actor_id: int | None
    actor_name: str
    action: str
    subject_kind: str
    subject_id: int | None
    detail: dict[str, Any]


async def listing(
    db: Database,
    actor: Actor,
    *,
    subject_kind: str | None = None,
    subject_id: int | None = None,
    action: str | None = None,
    actor_name: str | None = None,
    limit: int = 50,
    after: str | None = None,
) -> Page[AuditRow]:
    """Rows of the trail, newest first."""
    require(actor, "audit.view")
    rows = await db.fetch(
        """SELECT * FROM audit
           WHERE id < $1 AND ($2::text IS NULL OR subject_kind = $2)
             AND ($3::bigint IS NULL OR subject_id = $3)
             AND ($4::text IS NULL OR action = $4) AND ($5::text IS NULL OR actor_name = $5)
           ORDER BY id DESC LIMIT $6""",
        before(after),
        subject_kind,
        subject_id,
        action,
        actor_name,
        bounded(limit) + 1,
    )
    return cut([AuditRow(**row) for row in rows], limit, lambda row: row.id)
