"""Voting: the one transaction that decides an approval request."""

from definitions.permissions import Actor
from store.approval_views import Decision, VoteView
from store.connection import Database


async def vote(
    db: Database,
    actor: Actor,
    request_id: int,
    decision: Decision,
    comment: str,
    digest: str,
    via: str = "api",
) -> VoteView:
    """Say yes or no, once. The same again gives the same answer; another decision is refused."""
    raise NotImplementedError
