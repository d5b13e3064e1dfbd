"""How votes become a decision, and the digest of what was voted on."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from definitions.parameters import Value
from definitions.steps.approval import ApprovalType

Vote = Literal["approve", "reject"]


@dataclass(frozen=True)
class Tally:
    """Where a request stands."""

    status: Literal["pending", "approved", "rejected"]
    sentence: str


def needed(approval_type: ApprovalType, eligible: int) -> int:
    """How many must approve; raises `Invalid` when so many people can never do."""
    raise NotImplementedError


def tally(approval_type: ApprovalType, eligible: Collection[int], votes: Mapping[int, Vote]) -> Tally:
    """Decided as soon as the result is certain or impossible."""
    raise NotImplementedError


def digest(frozen: Mapping[str, Value]) -> str:
    """SHA-256, hex, of the canonical JSON of what a person says yes to."""
    raise NotImplementedError
