"""What every step kind has, and the building blocks of their fields.

Numbers are strict: `"3"` or `true` where a number belongs is a mistake worth naming.
"""

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

YEAR_SECONDS = 366 * 24 * 3600
END, FAIL, CONTINUE, CANCELLED = "end", "fail", "continue", "cancelled"
TARGET_WORDS = (END, FAIL, CONTINUE, CANCELLED)
"""Targets that are not a step."""

Count = Annotated[int, Field(strict=True, ge=0, le=1000)]
Positive = Annotated[int, Field(strict=True, ge=1, le=100_000)]
Amount = Annotated[int, Field(strict=True)] | Annotated[float, Field(strict=True, allow_inf_nan=False)]
Minutes = Annotated[Amount, Field(gt=0, le=YEAR_SECONDS // 60)]
Seconds = Annotated[Amount, Field(ge=0, le=YEAR_SECONDS)]
JobTimeout = Annotated[int, Field(strict=True, ge=1, le=7 * 24 * 3600)]
Text = Annotated[str, Field(min_length=1, max_length=64 * 1024)]
StepId = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
Target = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
HostRef = Annotated[int, Field(strict=True, ge=1)] | Annotated[str, Field(min_length=1, max_length=253)]
Ref = Annotated[int, Field(strict=True, ge=1)] | Annotated[str, Field(min_length=1, max_length=200)]
"""An id or a unique name."""
Values = dict[str, JsonValue]


class StepFields(BaseModel):
    """Common to all kinds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: StepId
    name: str = Field(default="", max_length=200)
    on_success: Target = CONTINUE
    on_failure: Target = FAIL
    retries: Count = 0
    retry_delay_seconds: Seconds = 0
    retry_backoff: Annotated[Amount, Field(ge=1, le=100)] = 1
    retry_max_delay_seconds: Seconds | None = None
    timeout_minutes: Minutes | None = None
    """From when the step begins, by the database's clock; attempts and waves included."""

    @property
    def label(self) -> str:
        """What people call the step."""
        return self.name or self.id

    @property
    def limit(self) -> timedelta | None:
        """How long it may take, from when it begins."""
        return timedelta(minutes=float(self.timeout_minutes)) if self.timeout_minutes is not None else None


class JobFields(StepFields):
    """Common to the kinds that create one job per host."""

    hosts: tuple[HostRef, ...] = ()
    """Empty: the instance's hosts."""
    run_as: str | None = Field(default=None, min_length=1, max_length=200)
    max_parallel: Positive | None = None
    """Most jobs that are not over at once; None: all hosts begin together."""
    max_failures: Count | None = None
    """As many failed jobs stop the step: no host begins and none tries again, what runs ends by itself.
    0 is as 1; None: every host gets its job, whatever becomes of the others."""
    timeout_seconds: JobTimeout | None = None
