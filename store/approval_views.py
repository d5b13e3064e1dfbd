"""What a person sees of an approval request, as frozen models.

Holds the shapes and the SQL that fills them; decides nothing (that is `store.votes`).
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from definitions.parameters import Value

Decision = Literal["approve", "reject"]


class Person(BaseModel):
    """Somebody who may decide."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str


class CastVote(BaseModel):
    """One person's vote; final."""

    model_config = ConfigDict(frozen=True)

    user_id: int
    name: str
    decision: Decision
    comment: str
    via: str
    at: datetime


class ApprovalRow(BaseModel):
    """One line of the inbox."""

    model_config = ConfigDict(frozen=True)

    id: int
    status: str
    kind: str
    title: str
    instance_id: int | None
    workflow_name: str
    step_id: str | None
    started_by_name: str
    created_at: datetime
    deadline: datetime | None
    decided_at: datetime | None
    sentence: str
    """Where the count stands, or how it was decided."""
    may_decide: bool
    """Whether the person asking may vote now."""
    why_not: str | None
    """If not, why, in one sentence."""


class ApprovalView(ApprovalRow):
    """Everything a person needs to say yes or no."""

    description: str
    approval_type: str
    quorum: int
    eligible: list[Person]
    votes: list[CastVote]
    frozen: dict[str, Value]
    """What will run, fixed when the request was made: hosts, resolved inputs, versions, quorum."""
    digest: str
    """Of `frozen`; a vote hands it back, so that nobody approves what they have not seen."""
    decision_reason: str


class VoteView(BaseModel):
    """The answer to a vote."""

    model_config = ConfigDict(frozen=True)

    request_id: int
    status: str
    """Of the request, after this vote."""
    decided: bool
    """Whether the request is decided now, by this vote or an earlier one."""
    sentence: str
    """'Your vote is counted: 1 of 2.' or 'Approved.'"""
