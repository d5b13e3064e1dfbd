"""Where an instance goes next: the graph of a workflow, and the one function that walks it.

Pure; the engine stores the frontier and asks. One step is active at a time now; the frontier is
a tuple so that branches side by side fit the same shape.
"""

from dataclasses import dataclass
from enum import StrEnum

from definitions.lifecycles.instance import InstanceStatus
from definitions.workflow import Workflow


class Outcome(StrEnum):
    """How a step ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    TRUE = "true"
    FALSE = "false"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Active:
    """A step that is being run, or is to be run next, for the n-th time."""

    step: str
    visit: int


@dataclass(frozen=True)
class Advance:
    """What follows: a new frontier, or the end."""

    frontier: tuple[Active, ...]
    ended: InstanceStatus | None
    target: str
    """The step taken next, or `end`, `fail`, `cancelled`."""
    reason: str
    """One sentence for people."""


def start(workflow: Workflow) -> Advance:
    """The frontier of a new instance: the first step."""
    raise NotImplementedError


def advance(workflow: Workflow, frontier: tuple[Active, ...], active: Active, outcome: Outcome) -> Advance:
    """What follows when `active`, a member of the frontier, has ended so."""
    raise NotImplementedError
