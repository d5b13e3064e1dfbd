"""Approval requests: opened by the engine, looked at by people, withdrawn, expired.

A request freezes what a person says yes to. Voting itself is `store.votes`.
"""

from collections.abc import Mapping

from definitions.parameters import Value
from definitions.permissions import Actor
from definitions.steps.approval import ApprovalStep
from store.approval_views import ApprovalRow, ApprovalView
from store.connection import Database, Tx
from store.pages import Page
from store.votes import vote

__all__ = ["expire_due", "listing", "open_request", "show", "vote", "withdraw_all"]


async def open_request(
    tx: Tx,
    *,
    instance_id: int,
    step_id: str,
    visit: int,
    step: ApprovalStep,
    title: str,
    description: str,
    frozen: Mapping[str, Value],
    started_by: int | None,
) -> int:
    """Open a step's request, or find the one it has; returns its id."""
    raise NotImplementedError


async def withdraw_all(tx: Tx, instance_id: int, reason: str) -> int:
    """Withdraw every open request of an instance; returns how many."""
    raise NotImplementedError


async def expire_due(db: Database) -> int:
    """Expire every request whose deadline has passed; returns how many. The keeper calls it."""
    raise NotImplementedError


async def show(db: Database, actor: Actor, request_id: int) -> ApprovalView:
    """One request, as this person sees it."""
    raise NotImplementedError


async def listing(
    db: Database,
    actor: Actor,
    *,
    status: str | None = None,
    mine: bool = False,
    limit: int = 50,
    after: str | None = None,
) -> Page[ApprovalRow]:
    """Requests, the newest first; `mine`: those this person may still decide."""
    raise NotImplementedError
