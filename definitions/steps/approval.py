"""The step that waits for people to say yes."""

from typing import Annotated, Literal

from pydantic import Field

from definitions.steps.step import StepFields

ApprovalType = Literal["singular", "one_of_many", "two_of_many", "all", "majority"]
Approver = Annotated[str, Field(pattern=r"^((role|user):)?[^\s:][^:]{0,199}$")]
"""`role:NAME`, `user:ID`; without a word in front a person's id, name or e-mail address."""


class ApprovalStep(StepFields):
    """A gate: `timeout_minutes` is its deadline, after which it is rejected."""

    type: Literal["approval"] = "approval"
    title: str = Field(default="", max_length=500)
    description: str = Field(default="", max_length=20_000)
    approval_type: ApprovalType = "one_of_many"
    approvers: tuple[Approver, ...] = Field(min_length=1, max_length=500)
    allow_self: Annotated[bool, Field(strict=True)] = False
    """Whether the person who started the instance may vote."""

    @property
    def label(self) -> str:
        """What people call the gate."""
        return self.name or self.title or self.id
