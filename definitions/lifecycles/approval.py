"""The life of an approval request: open once, decided once."""

from enum import StrEnum

from definitions.lifecycles.moves import Move


class ApprovalStatus(StrEnum):
    """Where a request is."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


_S = ApprovalStatus

STATES: dict[ApprovalStatus, str] = {
    _S.PENDING: "Waiting for votes.",
    _S.APPROVED: "Enough people said yes.",
    _S.REJECTED: "Enough people said no that it can't be approved any more.",
    _S.EXPIRED: "Nobody decided before the deadline; it counts as rejected.",
    _S.WITHDRAWN: "What it asked for is no longer wanted.",
}

MOVES: tuple[Move, ...] = (
    Move(_S.PENDING, _S.APPROVED, "approve", "the quorum is reached"),
    Move(_S.PENDING, _S.REJECTED, "reject", "the quorum can't be reached any more"),
    Move(_S.PENDING, _S.EXPIRED, "expire", "the deadline has passed"),
    Move(_S.PENDING, _S.WITHDRAWN, "withdraw", "the instance was cancelled, or ended"),
)

ENDED = frozenset({_S.APPROVED, _S.REJECTED, _S.EXPIRED, _S.WITHDRAWN})
"""Decided, once and for all."""
