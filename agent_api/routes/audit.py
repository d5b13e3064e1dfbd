"""`/api/v1/audit`: the audit trail."""

from typing import Annotated

from fastapi import Query

from agent_api.authentication import Db, Person
from agent_api.guarded import GuardedRouter
from agent_api.ids import Paging
from store import audit_trail
from store.audit_trail import AuditRow
from store.pages import Page

router = GuardedRouter(prefix="/api/v1/audit", tags=["audit"])

Text = Annotated[str | None, Query(max_length=253)]


@router.get("", permission="audit.view")
async def listing(
    db: Db,
    actor: Person,
    window: Paging,
    subject_kind: Text = None,
    subject_id: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    action: Text = None,
    actor_name: Text = None,
) -> Page[AuditRow]:
    """Who did what to which thing, newest first."""
    return await audit_trail.listing(
        db,
        actor,
        subject_kind=subject_kind,
        subject_id=subject_id,
        action=action,
        actor_name=actor_name,
        **vars(window),
    )
