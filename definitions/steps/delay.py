"""The step that waits for time to pass."""

from typing import Annotated, Literal

from pydantic import Field

from definitions.steps.step import YEAR_SECONDS, Amount, StepFields, Text


class DelayStep(StepFields):
    """Exactly one of the four says how long (the workflow's parser checks that)."""

    type: Literal["delay"] = "delay"
    seconds: Annotated[Amount, Field(gt=0, le=YEAR_SECONDS)] | None = None
    minutes: Annotated[Amount, Field(gt=0, le=YEAR_SECONDS // 60)] | None = None
    hours: Annotated[Amount, Field(gt=0, le=YEAR_SECONDS // 3600)] | None = None
    until: Text | None = None
    """ISO 8601 with an offset; may be a template."""
