"""The step that runs branches side by side."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from definitions.steps.step import StepFields

if TYPE_CHECKING:
    from definitions.steps import Step


class Branch(BaseModel):
    """A list of steps of its own; `end` and `fail` in it end the branch."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="", max_length=200)
    steps: "tuple[Step, ...]" = Field(min_length=1)


class ParallelStep(StepFields):
    """Join `all`, or `any`: the first to succeed, the rest are cancelled."""

    type: Literal["parallel"] = "parallel"
    join: Literal["all", "any"] = "all"
    branches: Annotated[tuple[Branch, ...], Field(min_length=1, max_length=50)]

    def branch_labels(self) -> list[str]:
        """What people call the branches."""
        return [branch.name or f"branch {number}" for number, branch in enumerate(self.branches, 1)]
