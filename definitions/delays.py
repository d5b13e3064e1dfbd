"""When a delay is over."""

from datetime import UTC, datetime, timedelta

from definitions.errors import Invalid
from definitions.rollout import limit_in_words
from definitions.steps import DelayStep
from definitions.variables import Scope, resolve

LONGEST_SHOWN = 60
"""Characters of a bad value that the sentence shows."""


def due_at(step: DelayStep, now: datetime, scope: Scope) -> datetime:
    """The end of a delay that begins now; raises `Invalid` when `until` is no instant, or it never ends."""
    if step.until is not None:
        return instant(str(resolve(step.until, scope)))
    return later(now, length(step))


def length(step: DelayStep) -> float:
    """Seconds of a delay that has no `until`."""
    return (step.seconds or 0) + 60 * (step.minutes or 0) + 3600 * (step.hours or 0)


def later(moment: datetime, seconds: float) -> datetime:
    """So many seconds after a moment; raises `Invalid` when no calendar goes so far."""
    try:
        return moment + timedelta(seconds=seconds)
    except OverflowError:
        raise Invalid("That would be after the year 9999, and no calendar goes so far.") from None


def too_late(step: DelayStep, moment: datetime, now: datetime) -> str:
    """Why a delay that begins now and ends at that moment fails at once, or nothing if it does not."""
    if step.timeout_minutes is None or (moment - now).total_seconds() <= 60 * float(step.timeout_minutes):
        return ""
    return f"It would be over at {moment.isoformat(timespec='seconds')}, and not {limit_in_words(step)}."


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
