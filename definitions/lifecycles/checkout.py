"""The life of a checkout: every one that becomes active ends."""

from enum import StrEnum

from definitions.lifecycles.moves import Move


class CheckoutStatus(StrEnum):
    """Where a checkout is."""

    REQUESTED = "requested"
    ACTIVE = "active"
    ENDED = "ended"
    DENIED = "denied"
    FAILED = "failed"


_S = CheckoutStatus

STATES: dict[CheckoutStatus, str] = {
    _S.REQUESTED: "Waiting for an approval, or for its turn.",
    _S.ACTIVE: "Steps or jobs may run as the identity.",
    _S.ENDED: "Checked in.",
    _S.DENIED: "The approval was refused, or its deadline passed.",
    _S.FAILED: "The identity was quarantined while it waited.",
}

MOVES: tuple[Move, ...] = (
    Move(_S.REQUESTED, _S.ACTIVE, "check out", "it needs no approval, or was approved"),
    Move(_S.REQUESTED, _S.DENIED, "deny", "its approval was refused"),
    Move(_S.REQUESTED, _S.FAILED, "fail", "its identity was quarantined while it waited"),
    Move(_S.REQUESTED, _S.ENDED, "check in", "its instance or its jobs ended before it was approved"),
    Move(
        _S.ACTIVE,
        _S.ENDED,
        "check in",
        "a step, a person, its deadline, or the end of the instance or the jobs did",
    ),
)

ENDED = frozenset({_S.ENDED, _S.DENIED, _S.FAILED})
"""Nothing is held any more."""
