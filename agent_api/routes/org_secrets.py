"""`/api/v1/org-secrets`: what hosts need to enrol."""

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from agent_api.authentication import Db, Person
from agent_api.guarded import GuardedRouter
from agent_api.ids import Id, Paging
from store import org_secrets
from store.org_secrets import MAX_LIFETIME, MAX_USES, NewOrgSecret, OrgSecretView
from store.pages import Page

router = GuardedRouter(prefix="/api/v1/org-secrets", tags=["hosts"])


class OrgSecretRequest(BaseModel):
    """A secret to make."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=200)]
    max_uses: Annotated[int, Field(ge=1, le=MAX_USES)] = 1
    lifetime_minutes: Annotated[int, Field(ge=1, le=int(MAX_LIFETIME.total_seconds() // 60))] = 60


@router.post("", permission="hosts.manage", creates=True, secret=True, status_code=201)
async def create(db: Db, actor: Person, body: OrgSecretRequest) -> NewOrgSecret:
    """Make a secret. It is shown this once."""
    return await org_secrets.create(
        db, actor, body.name, body.max_uses, timedelta(minutes=body.lifetime_minutes)
    )


@router.get("", permission="hosts.manage")
async def listing(db: Db, actor: Person, window: Paging) -> Page[OrgSecretView]:
    """Secrets, newest first, without the secret."""
    return await org_secrets.listing(db, actor, **vars(window))


@router.delete("/{secret_id}", permission="hosts.manage", status_code=204)
async def revoke(db: Db, actor: Person, secret_id: Id) -> None:
    """End a secret."""
    await org_secrets.revoke(db, actor, secret_id)
