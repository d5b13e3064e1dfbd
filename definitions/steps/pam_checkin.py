"""The step that ends checkouts."""

from typing import Literal

from definitions.steps.step import StepFields, StepId


class PamCheckinStep(StepFields):
    """Check in what the named checkout steps opened; none named: everything open."""

    type: Literal["pam_checkin"] = "pam_checkin"
    checkout: tuple[StepId, ...] = ()
