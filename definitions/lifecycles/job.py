"""The life of a job: queued until claimed, pending until started, ended once."""

from enum import StrEnum

from definitions.lifecycles.moves import Move


class JobStatus(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"


_S = JobStatus

STATES: dict[JobStatus, str] = {
    _S.QUEUED: "Waiting for the host's agent to pick it up.",
    _S.PENDING: "Claimed by the agent, not started yet.",
    _S.RUNNING: "Running on the host.",
    _S.COMPLETED: "Ended with exit code 0.",
    _S.FAILED: "Ended with another exit code, or could not run.",
    _S.TIMEOUT: "Stopped because it took too long.",
    _S.CANCELLED: "Stopped by a person, or before it began.",
}

MOVES: tuple[Move, ...] = (
    Move(_S.QUEUED, _S.PENDING, "claim", "the host's agent asked for work"),
    Move(_S.QUEUED, _S.CANCELLED, "cancel", "somebody stopped it before it was claimed"),
    Move(_S.QUEUED, _S.FAILED, "expire", "the agent did not pick it up in time"),
    Move(_S.PENDING, _S.RUNNING, "start", "the agent asked for leave to run it"),
    Move(_S.PENDING, _S.QUEUED, "release", "the agent restarted before it began"),
    Move(_S.PENDING, _S.CANCELLED, "cancel", "somebody stopped it before it began"),
    Move(_S.PENDING, _S.FAILED, "refuse", "the agent could not run it"),
    Move(_S.RUNNING, _S.COMPLETED, "complete", "it ended with exit code 0"),
    Move(_S.RUNNING, _S.FAILED, "fail", "it ended with another exit code, or was interrupted"),
    Move(_S.RUNNING, _S.TIMEOUT, "time out", "it took longer than it may"),
    Move(_S.RUNNING, _S.CANCELLED, "cancel", "somebody stopped it"),
    Move(_S.FAILED, _S.QUEUED, "retry", "somebody asked for another attempt"),
    Move(_S.TIMEOUT, _S.QUEUED, "retry", "somebody asked for another attempt"),
)

ENDED = frozenset({_S.COMPLETED, _S.FAILED, _S.TIMEOUT, _S.CANCELLED})
"""No attempt is waiting or running; such a job may be deleted."""
CANCELLABLE = frozenset(move.from_state for move in MOVES if move.verb == "cancel")
RETRYABLE = frozenset(move.from_state for move in MOVES if move.verb == "retry")
