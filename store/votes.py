"""Voting: the one transaction that decides an approval request.

Locks the instance before the request, as the engine does when it opens one, so that the two never
wait for each other; the identity of a request about a checkout after it (`store.checkouts`). The deadline is
judged by the database's clock, after the lock is held.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from definitions import quorum
from definitions.errors import Conflict, Invalid, NotPermitted
from definitions.lifecycles.approval import STATES, ApprovalStatus
from definitions.permissions import Actor, require
from definitions.storable import storable
from store import approval_views, audit, channels, checkouts, notices, outbox, people, references
from store.approval_views import Decision, VoteView
from store.askers import SET_GOING
from store.connection import Database, Row, Tx
from store.wakes import notify, wake_instance

MAX_COMMENT = 4000


class Counted(NamedTuple):
    """What a vote led to."""

    status: str
    sentence: str


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
    require(actor, people.VOTE)
    if len(comment) > MAX_COMMENT or storable(comment) != comment:
        raise Invalid(f"A comment has at most {MAX_COMMENT} characters, and no NUL or half an emoji.")
    async with db.transaction() as tx:
        row = await lock(tx, request_id)
        earlier = await _earlier(tx, row, actor)
        if earlier is None:
            at = await _check(tx, row, actor, digest)
            counted = await _cast(tx, row, actor, decision, comment, via, at)
        elif earlier == decision:
            counted = await _stands(tx, row)
        else:
            raise Conflict(f"You have voted already ({earlier}), and votes are final.")
    decided = counted.status != ApprovalStatus.PENDING
    return VoteView(request_id=request_id, status=counted.status, decided=decided, sentence=counted.sentence)


async def lock(tx: Tx, request_id: int) -> Row:
    """Lock a request and, before it, its instance."""
    await tx.execute(
        """SELECT 1 FROM instances WHERE id = (SELECT instance_id FROM approval_requests WHERE id = $1)
           FOR NO KEY UPDATE""",
        request_id,
    )
    row = await tx.fetchrow("SELECT * FROM approval_requests WHERE id = $1 FOR UPDATE", request_id)
    if row is None:
        raise references.missing("approval request", request_id)
    return row


async def _earlier(tx: Tx, row: Row, actor: Actor) -> str | None:
    if actor.kind != "user":
        return None
    decision: str | None = await tx.fetchval(
        "SELECT decision FROM votes WHERE request_id = $1 AND user_id = $2", row["id"], actor.id
    )
    return decision


async def _check(tx: Tx, row: Row, actor: Actor, digest: str) -> datetime:
    """Everything that may stand against this vote, with the locks held. Returns the moment by which it was
    judged, and which is the vote's: so no vote is ever later than its deadline."""
    if row["status"] != ApprovalStatus.PENDING:
        raise Conflict(f"This request is {row['status']} already. {row['decision_reason']}".strip())
    facts = await tx.fetchrow(
        f"""SELECT r.eligible, {SET_GOING} AS set_going, clock_timestamp() AS at
            {approval_views.FROM} WHERE r.id = $1""",
        row["id"],
    )
    assert facts is not None
    at: datetime = facts["at"]
    if row["deadline"] is not None and row["deadline"] <= at:
        raise Conflict("The deadline of this request has passed; it counts as rejected.")
    refusal = approval_views.not_asked(facts, actor)
    if refusal is None and actor.id is not None:
        refusal = await people.why_not_vote(tx, actor.id)
        if refusal is None and await people.lost(tx, _asked(row), [actor.id]):
            refusal = approval_views.NO_LONGER_ASKED
    if refusal is not None:
        raise NotPermitted(refusal)
    if digest != row["digest"] or quorum.digest(row["frozen"]) != row["digest"]:
        raise Conflict("What you saw has changed; look again before you decide.")
    return at


def _asked(row: Row) -> Sequence[str] | None:
    """Whom a request asks, as `approval_views.ASKED`."""
    frozen = row["frozen"]
    found: Sequence[str] | None = frozen.get("asked", frozen.get("approvers"))
    return found


async def _cast(
    tx: Tx, row: Row, actor: Actor, decision: Decision, comment: str, via: str, at: datetime
) -> Counted:
    await tx.execute(
        "INSERT INTO votes (request_id, user_id, decision, comment, via, at) VALUES ($1, $2, $3, $4, $5, $6)",
        row["id"],
        actor.id,
        decision,
        comment,
        via,
        at,
    )
    detail = {"decision": decision, "via": via, "instance": row["instance_id"], "step": row["step_id"]}
    await audit.record(tx, actor, "approval.vote", "approval", row["id"], **detail)
    votes = (await approval_views.votes_of(tx, [row["id"]]))[row["id"]]
    tally = approval_views.tally(row, votes)
    if tally.status != "pending":
        sentence = f"{tally.sentence} {_who(tally.status, votes)}"
        await decide(tx, row, ApprovalStatus(tally.status), sentence, actor)
        return Counted(tally.status, sentence)
    await notify(tx, channels.EVENTS, f"approval:{row['id']}")
    if row["instance_id"] is not None:
        await notify(tx, channels.EVENTS, f"instance:{row['instance_id']}")
    return Counted(tally.status, f"Your vote is counted: {tally.sentence}")


def _who(status: str, votes: Sequence[approval_views.CastVote]) -> str:
    """Whose votes made the decision, and what the last of them wrote."""
    made = [vote for vote in votes if (vote.decision == "approve") == (status == "approved")]
    names = ", ".join(vote.name for vote in made)
    return f"By {names}: “{made[-1].comment}”." if made[-1].comment else f"By {names}."


async def _stands(tx: Tx, row: Row) -> Counted:
    """The answer to a repeated vote: as if it were the first."""
    if row["status"] != ApprovalStatus.PENDING:
        return Counted(row["status"], row["decision_reason"] or STATES[ApprovalStatus(row["status"])])
    votes = (await approval_views.votes_of(tx, [row["id"]]))[row["id"]]
    return Counted(row["status"], f"Your vote is counted: {approval_views.tally(row, votes).sentence}")


async def decide(tx: Tx, row: Row, status: ApprovalStatus, reason: str, actor: Actor) -> None:
    """End a pending request, whose lock the caller holds, and wake what waits for it."""
    await tx.execute(
        """UPDATE approval_requests SET status = $2, decided_at = clock_timestamp(), decision_reason = $3
           WHERE id = $1""",
        row["id"],
        status,
        reason,
    )
    detail = {"status": str(status), "instance": row["instance_id"], "step": row["step_id"]}
    await audit.record(tx, actor, "approval.decide", "approval", row["id"], **detail)
    if row["checkout_id"] is not None:
        await checkouts.decided(tx, row["checkout_id"], status, reason, actor)
    if status != ApprovalStatus.WITHDRAWN:
        expired = status == ApprovalStatus.EXPIRED
        await notices.tell(tx, "approval.expired" if expired else "approval.decided", row["id"])
        if row["instance_id"] is not None:
            await outbox.add(tx, "show_decision", {"request_id": row["id"]})
    await notify(tx, channels.EVENTS, f"approval:{row['id']}")
    if row["instance_id"] is not None:
        await wake_instance(tx, row["instance_id"])
