"""The step that checks out a privileged identity."""

from typing import Annotated, Literal

from pydantic import Field

from definitions.steps.step import Positive, Ref, StepFields


class PamCheckoutStep(StepFields):
    """Open a checkout; later steps refer to it by `variable_name` and the identity's name."""

    type: Literal["pam_checkout"] = "pam_checkout"
    identity: Ref
    variable_name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")] | None = None
    reason: str = Field(default="", max_length=2000)
    duration_minutes: Positive | None = None
