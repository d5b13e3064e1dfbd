"""What a person sees of an instance, as frozen models.

Holds the shapes and the SQL that fills them; changes nothing.
"""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from definitions.parameters import Value
from store.approval_views import ApprovalView


class HostName(BaseModel):
    """A host the instance was started on."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str


class StepJobView(BaseModel):
    """A step's job on one host, with the end of what it printed."""

    model_config = ConfigDict(frozen=True)

    id: int
    host: str
    status: str
    attempt: int
    exit_code: int | None
    reason: str
    stdout: str
    """The last few kilobytes; all of it is at the job."""
    stderr: str
    duration: float | None
    """Seconds, once it has ended."""


class StepResultView(BaseModel):
    """One visit of one step."""

    model_config = ConfigDict(frozen=True)

    step_id: str
    visit: int
    kind: str
    name: str
    status: str
    input: dict[str, Value]
    """The step's templates resolved, as sent."""
    outcome: str | None
    reason: str
    """Why it ended so, and why the next step was taken."""
    routed_to: str | None
    wake_at: datetime | None
    started_at: datetime
    ended_at: datetime | None
    jobs: list[StepJobView]
    approval_id: int | None


class FrontierStep(BaseModel):
    """A step that is active now."""

    model_config = ConfigDict(frozen=True)

    step: str
    visit: int


class InstanceRow(BaseModel):
    """One line of a list of instances."""

    model_config = ConfigDict(frozen=True)

    id: int
    workflow_id: int
    workflow_name: str
    workflow_version: int
    status: str
    hosts: list[HostName]
    started_by_name: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    reason: str
    """Why it ended as it did."""
    frontier: list[FrontierStep]


class InstanceView(InstanceRow):
    """Everything about one instance."""

    inputs: dict[str, Value]
    waits_for: str | None
    """One sentence while it is not over: what it waits for, and on whom."""
    cancel_requested_at: datetime | None
    cancel_reason: str | None
    flow_run_id: str | None
    steps: list[StepResultView]
    """In the order in which they were reached."""
    approvals: list[ApprovalView]
    """The open requests."""
