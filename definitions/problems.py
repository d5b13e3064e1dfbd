"""One problem found in something a user wrote: where, what, and how to mend it.

The shape is frozen in the formats page: `{pointer, code, message, fix, severity}`.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Severity = Literal["error", "warning"]


class Problem(BaseModel):
    """A problem at a JSON pointer (RFC 6901) of the document it was found in."""

    model_config = ConfigDict(frozen=True)

    pointer: str
    code: str
    message: str
    fix: str
    severity: Severity = "error"


def has_errors(problems: list[Problem]) -> bool:
    """Whether any of them is more than a warning."""
    return any(problem.severity == "error" for problem in problems)
