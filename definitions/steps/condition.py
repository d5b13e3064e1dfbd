"""The step that branches on values."""

from typing import Literal

from definitions.steps.step import CONTINUE, FAIL, StepFields, Target, Text


class ConditionStep(StepFields):
    """Two ways to go; `on_failure` is for a condition that can't be evaluated."""

    type: Literal["condition"] = "condition"
    condition: Text
    on_true: Target = CONTINUE
    on_false: Target = FAIL
