"""The life of an instance, and of the results of its steps."""

from enum import StrEnum

from definitions.lifecycles.moves import Move


class InstanceStatus(StrEnum):
    """Where an instance is."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StepStatus(StrEnum):
    """Where one step of an instance is."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


_S = InstanceStatus

STATES: dict[InstanceStatus, str] = {
    _S.QUEUED: "Created but not yet started processing.",
    _S.RUNNING: "Actively executing a step.",
    _S.PAUSED: "Waiting for an approval, a delay, or a PAM approval.",
    _S.COMPLETED: "All steps finished successfully.",
    _S.FAILED: "A step failed and routed to the abort path.",
    _S.CANCELLED: "Cancelled by a person, or by a step's route.",
}

STEP_STATES: dict[StepStatus, str] = {
    StepStatus.WAITING: "Waiting for a decision, or for time to pass.",
    StepStatus.RUNNING: "Being executed.",
    StepStatus.COMPLETED: "Ended well.",
    StepStatus.FAILED: "Ended badly; the failure route was taken.",
    StepStatus.SKIPPED: "Not reached.",
    StepStatus.CANCELLED: "Stopped before it ended.",
}

MOVES: tuple[Move, ...] = (
    Move(_S.QUEUED, _S.RUNNING, "start", "a worker took it up"),
    Move(_S.QUEUED, _S.CANCELLED, "cancel", "somebody stopped it before it began"),
    Move(_S.QUEUED, _S.FAILED, "fail", "it could not be started"),
    Move(_S.RUNNING, _S.PAUSED, "park", "only a gate or a delay is open"),
    Move(_S.RUNNING, _S.COMPLETED, "complete", "its last step was routed to the end"),
    Move(_S.RUNNING, _S.FAILED, "fail", "a step was routed to the abort path"),
    Move(_S.RUNNING, _S.CANCELLED, "cancel", "somebody, or a route, stopped it"),
    Move(_S.PAUSED, _S.RUNNING, "wake", "what it waited for has happened"),
    Move(_S.PAUSED, _S.CANCELLED, "cancel", "somebody stopped it while it waited"),
    Move(_S.PAUSED, _S.FAILED, "fail", "it could not go on"),
    Move(_S.FAILED, _S.RUNNING, "resume", "somebody resumed it at the step that failed"),
    Move(_S.CANCELLED, _S.RUNNING, "resume", "somebody resumed it where it was stopped"),
)

ENDED = frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLED})
"""Nothing goes on by itself."""
