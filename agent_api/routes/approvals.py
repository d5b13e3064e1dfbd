"""`/api/v1/approvals`: what waits for a decision, and deciding it. Deciding is POST only."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from agent_api.authentication import Db, Person
from agent_api.guarded import GuardedRouter
from agent_api.ids import Id, Paging
from definitions.lifecycles.approval import ApprovalStatus
from store import approvals
from store.approval_views import ApprovalRow, VoteView
from store.approvals import ApprovalDetail
from store.pages import Page
from store.votes import MAX_COMMENT

router = GuardedRouter(prefix="/api/v1/approvals", tags=["approvals"])


class Vote(BaseModel):
    """A yes or a no to what was seen."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["approve", "reject"]
    comment: str = Field(default="", max_length=MAX_COMMENT)
    digest: str = Field(max_length=64, description="The digest of the request, as it was shown.")


@router.get("", permission="workflows.view")
async def list_approvals(
    db: Db,
    actor: Person,
    window: Paging,
    status: ApprovalStatus | None = None,
    mine: bool = False,
    started: bool = False,
) -> Page[ApprovalRow]:
    """Approval requests, decided ones too, the newest first; `mine`: those that wait for your vote;
    `started`: those of what you started, resumed or repeated."""
    return await approvals.listing(
        db, actor, status=status, mine=mine or None, started=started, **vars(window)
    )


@router.get("/{request_id}", permission="workflows.view")
async def show_approval(db: Db, actor: Person, request_id: Id) -> ApprovalDetail:
    """One request: what is asked, of whom, what runs up to the next gate if they say yes with what has
    changed since it was approved last, and the digest a vote hands back."""
    return await approvals.show(db, actor, request_id)


@router.post("/{request_id}/vote", permission="workflows.manage")
async def vote_on_approval(db: Db, actor: Person, request_id: Id, body: Vote) -> VoteView:
    """Vote, once. The same vote again gets the same answer; another one 409."""
    return await approvals.vote(db, actor, request_id, body.decision, body.comment, body.digest)
