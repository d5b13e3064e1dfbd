"""When a delay is over."""

from datetime import datetime, timedelta

from definitions.errors import Invalid
from definitions.steps import DelayStep
from definitions.variables import Scope, resolve


def due_at(step: DelayStep, now: datetime, scope: Scope) -> datetime:
    """The end of a delay that begins now; raises `Invalid` when `until` is no instant."""
    if step.until is not None:
        return instant(str(resolve(step.until, scope)))
    return now + timedelta(seconds=step.seconds or 0, minutes=step.minutes or 0, hours=step.hours or 0)


def instant(text: str) -> datetime:
    """The instant an ISO 8601 text names; raises `Invalid`."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Invalid("`until` is no ISO 8601 date and time, like 2027-01-31T08:00:00+01:00.") from None
    if moment.utcoffset() is None:
        raise Invalid("`until` has no offset from UTC, like the +01:00 of 2027-01-31T08:00:00+01:00.")
    return moment
