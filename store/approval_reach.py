"""Requests that can no longer be approved, because people who were asked may not vote any more.

A disabled person, or one who lost the role, never answers: without a timeout `all` or `singular` would wait
for ever. The keeper ends such a request as votes would: rejected, approval can no longer be reached.
"""

from collections.abc import Iterable, Mapping

from definitions.lifecycles.approval import ApprovalStatus
from definitions.permissions import SYSTEM
from store import people, votes
from store.approval_views import ASKED
from store.connection import Database, Row, Tx

_OPEN = f"""
SELECT r.id, r.quorum, r.eligible, {ASKED} AS asked,
       ARRAY(SELECT v.user_id FROM votes v WHERE v.request_id = r.id) AS voted,
       (SELECT count(*) FROM votes v WHERE v.request_id = r.id AND v.decision = 'approve') AS approved
FROM approval_requests r WHERE r.status = 'pending' AND {ASKED} IS NOT NULL"""


async def reject_unreachable(db: Database) -> int:
    """Reject the open requests whose quorum too few people are left for; returns how many."""
    rows = await db.fetch(_OPEN)
    meant = await people.resolve(db, _words(rows))
    rejected = 0
    for row in rows:
        if _reachable(row, meant) < row["quorum"]:
            async with db.transaction() as tx:
                rejected += await _reject(tx, row["id"])
    return rejected


async def _reject(tx: Tx, request_id: int) -> bool:
    """Look again under the locks that a vote takes: one may have come, or a role have been given back."""
    request = await votes.lock(tx, request_id)
    row = await tx.fetchrow(f"{_OPEN} AND r.id = $1", request_id)
    if row is None:
        return False
    left, needed = _reachable(row, await people.resolve(tx, _words([row]))), row["quorum"]
    if left >= needed:
        return False
    needs = "1 approval is" if needed == 1 else f"{needed} approvals are"
    sentence = (
        f"Rejected: approval can no longer be reached. {needs} "
        f"needed, and of the {len(row['eligible'])} asked {left} said yes or may still vote."
    )
    await votes.decide(tx, request, ApprovalStatus.REJECTED, sentence, SYSTEM)
    return True


def _words(rows: Iterable[Row]) -> set[str]:
    return {word for row in rows for word in row["asked"]}


def _reachable(row: Row, meant: Mapping[str, frozenset[int]]) -> int:
    """The yeses there are, and the people who could still say one."""
    asked = frozenset[int]().union(*(meant.get(word, frozenset()) for word in row["asked"]))
    return int(row["approved"]) + len((asked & set(row["eligible"])) - set(row["voted"]))
