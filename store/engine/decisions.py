"""Decisions as Prefect is told of them: what was decided, by whom, of which run. Changes nothing.

What people wrote beside their votes is not read here: it stays in the store.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from definitions.lifecycles.approval import ApprovalStatus
from store import approval_views
from store.approval_views import CastVote
from store.connection import Database


@dataclass(frozen=True)
class Decided:
    """A request that was decided."""

    request_id: int
    title: str
    step_id: str
    workflow_name: str
    instance_id: int
    instance_ended: bool
    flow_run_id: UUID | None
    """The run the instance has now."""
    status: str
    sentence: str
    """How it was decided: how many of how many, or which deadline passed."""
    decided_at: datetime
    votes: Sequence[CastVote]


async def read(db: Database, request_id: int) -> Decided | None:
    """A decided request of an instance; None for any other."""
    async with db.connection() as tx:
        row = await tx.fetchrow(
            """SELECT r.id, r.title, r.step_id, r.status, r.decision_reason, r.decided_at, r.approval_type,
                      r.eligible, w.name AS workflow_name, i.id AS instance_id, i.flow_run_id,
                      i.ended_at IS NOT NULL AS ended
               FROM approval_requests r JOIN instances i ON i.id = r.instance_id
               JOIN workflows w ON w.id = i.workflow_id
               WHERE r.id = $1 AND r.status IN ('approved', 'rejected', 'expired')""",
            request_id,
        )
        if row is None:
            return None
        votes = (await approval_views.votes_of(tx, [request_id])).get(request_id, [])
    tally = approval_views.tally(row, votes)
    by_votes = row["status"] != ApprovalStatus.EXPIRED and tally.status == row["status"]
    return Decided(
        request_id=row["id"],
        title=row["title"],
        step_id=row["step_id"],
        workflow_name=row["workflow_name"],
        instance_id=row["instance_id"],
        instance_ended=row["ended"],
        flow_run_id=row["flow_run_id"],
        status=row["status"],
        # What is kept as the reason of a vote quotes its comment.
        sentence=tally.sentence if by_votes else row["decision_reason"],
        decided_at=row["decided_at"],
        votes=votes,
    )
