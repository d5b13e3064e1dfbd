"""`/api/v1/audit`: the audit trail, its chain, and whether both are whole."""

from typing import Annotated

from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict, Field

from agent_api.authentication import Db, Person
from agent_api.guarded import GuardedRouter
from agent_api.ids import After, Paging
from agent_api.settings import ApiSettings
from definitions.audit_chain import Checkpoint, Entry, Verdict
from store import audit_trail, audit_verification
from store.audit_keys import read_public_keys
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


class VerifyRequest(BaseModel):
    """Checkpoints that were kept outside of the database."""

    model_config = ConfigDict(extra="forbid")

    checkpoints: Annotated[list[Checkpoint], Field(max_length=100)] = []


@router.post("/verify", permission="audit.view")
async def verify(request: Request, db: Db, actor: Person, body: VerifyRequest | None = None) -> Verdict:
    """Check the whole trail against its chain and the signed checkpoints."""
    settings: ApiSettings = request.app.state.settings
    file = settings.audit_public_keys_file
    keys = None if file is None else read_public_keys(file)
    return await audit_verification.verify(db, actor, keys, body.checkpoints if body else ())


@router.get("/export", permission="audit.view")
async def export(
    db: Db, actor: Person, limit: Annotated[int, Query(ge=1, le=1000)] = 1000, after: After = None
) -> Page[Entry]:
    """The trail in the order of its chain, oldest first, as it can be verified offline."""
    return await audit_verification.export(db, actor, limit=limit, after=after)


@router.get("/checkpoints", permission="audit.view")
async def checkpoints(db: Db, actor: Person, window: Paging) -> Page[Checkpoint]:
    """Signed checkpoints, newest first."""
    return await audit_verification.checkpoints(db, actor, **vars(window))
