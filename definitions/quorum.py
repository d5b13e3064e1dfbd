"""How votes become a decision, and the digest of what was voted on.

The decision falls the moment it is certain: as soon as enough have approved, or as soon as too
few are left who could.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from definitions.errors import Invalid
from definitions.parameters import Value
from definitions.steps.approval import ApprovalType

Vote = Literal["approve", "reject"]


@dataclass(frozen=True)
class Tally:
    """Where a request stands."""

    status: Literal["pending", "approved", "rejected"]
    sentence: str


def shortfall(approval_type: ApprovalType, eligible: int) -> str | None:
    """Why so many people can never satisfy the gate, or None when they can."""
    if eligible == 0:
        return "Nobody may approve."
    if approval_type == "singular" and eligible != 1:
        return f"A singular approval is decided by exactly one person, and {eligible} may."
    if approval_type == "two_of_many" and eligible < 2:
        return "Two people have to approve, and only one may."
    return None


def needed(approval_type: ApprovalType, eligible: int) -> int:
    """How many must approve; raises `Invalid` when so many people can never do."""
    refusal = shortfall(approval_type, eligible)
    if refusal is not None:
        raise Invalid(refusal)
    if approval_type == "two_of_many":
        return 2
    if approval_type == "all":
        return eligible
    if approval_type == "majority":
        return eligible // 2 + 1
    return 1


def tally(approval_type: ApprovalType, eligible: Collection[int], votes: Mapping[int, Vote]) -> Tally:
    """Decided as soon as the result is certain or impossible; votes of others do not count."""
    people = set(eligible)
    quorum = needed(approval_type, len(people))
    counted = [vote for person, vote in votes.items() if person in people]
    approved = counted.count("approve")
    rejected = len(counted) - approved
    needs = "1 approval was needed" if quorum == 1 else f"{quorum} approvals were needed"
    if approved >= quorum:
        return Tally("approved", f"Approved: {approved} of {len(people)} said yes; {needs}.")
    if len(people) - rejected < quorum:
        how = f"{rejected} of {len(people)} said no; {needs}"
        return Tally("rejected", f"Rejected: approval can no longer be reached. {how}.")
    more = "one" if quorum - approved == 1 else str(quorum - approved)
    against = f"; {rejected} said no" if rejected else ""
    return Tally("pending", f"{approved} of {quorum}, {more} more needed{against}.")


def digest(frozen: Mapping[str, Value]) -> str:
    """SHA-256, hex, of the canonical JSON of what a person says yes to."""
    canonical = json.dumps(frozen, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()
