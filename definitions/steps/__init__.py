"""The closed union of step kinds; one file a kind."""

from typing import Annotated

from pydantic import Field

from definitions.steps.approval import ApprovalStep
from definitions.steps.command import CommandStep
from definitions.steps.condition import ConditionStep
from definitions.steps.delay import DelayStep
from definitions.steps.pam_checkin import PamCheckinStep
from definitions.steps.pam_checkout import PamCheckoutStep
from definitions.steps.parallel import Branch, ParallelStep
from definitions.steps.script import ScriptStep
from definitions.steps.step import StepFields

__all__ = [
    "KINDS",
    "ApprovalStep",
    "Branch",
    "CommandStep",
    "ConditionStep",
    "DelayStep",
    "JobStep",
    "PamCheckinStep",
    "PamCheckoutStep",
    "ParallelStep",
    "ScriptStep",
    "Step",
]

JobStep = ScriptStep | CommandStep

Step = Annotated[
    ScriptStep
    | CommandStep
    | ApprovalStep
    | ConditionStep
    | DelayStep
    | PamCheckoutStep
    | PamCheckinStep
    | ParallelStep,
    Field(discriminator="type"),
]

Branch.model_rebuild(_types_namespace={"Step": Step})
ParallelStep.model_rebuild()

KINDS: dict[str, type[StepFields]] = {
    "script": ScriptStep,
    "command": CommandStep,
    "approval": ApprovalStep,
    "condition": ConditionStep,
    "delay": DelayStep,
    "pam_checkout": PamCheckoutStep,
    "pam_checkin": PamCheckinStep,
    "parallel": ParallelStep,
}
"""Every kind by the word a file uses for it."""
