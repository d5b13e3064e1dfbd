"""When a delay is over."""

from datetime import UTC, datetime, timedelta

from definitions.errors import Invalid
from definitions.steps import DelayStep
from definitions.variables import Scope, resolve

LONGEST_SHOWN = 60
"""Characters of a bad value that the sentence shows."""


def due_at(step: DelayStep, now: datetime, scope: Scope) -> datetime:
    """The end of a delay that begins now; raises `Invalid` when `until` is no instant."""
    if step.until is not None:
        return instant(str(resolve(step.until, scope)))
    return now + timedelta(seconds=step.seconds or 0, minutes=step.minutes or 0, hours=step.hours or 0)


def instant(text: str) -> datetime:
    """The instant an ISO 8601 text names; raises `Invalid`."""
    shown = text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.utcoffset() is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):  # the year 9999 ends sooner in New York than in UTC
        message = f"`until` is no ISO 8601 date and time, like 2027-01-31T08:00:00+01:00, but {shown!r}."
        raise Invalid(message) from None
    raise Invalid(f"`until` has no offset from UTC, like +01:00 or Z: {shown!r}.")
