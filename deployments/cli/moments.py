"""Moments as people type them: ISO 8601, with an offset, a time zone's name, or neither."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from deployments.cli.errors import WrongUse

_SPAN = re.compile(r"([0-9]{1,6}) ?(s|min|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days"}


def later(text: str, option: str, now: datetime | None = None) -> datetime:
    """`2027-01-31T08:00+01:00`, `2027-01-31 08:00 Europe/Berlin`, without a zone in that of this
    machine, or a length of time from now such as `90m`."""
    span = _span(text)
    return _moment(text, option) if span is None else (now or datetime.now(UTC)) + span


def earlier(text: str, option: str, now: datetime | None = None) -> datetime:
    """The same, a length of time being ago: `2h`, `7d`."""
    span = _span(text)
    return _moment(text, option) if span is None else (now or datetime.now(UTC)) - span


def _span(text: str) -> timedelta | None:
    found = _SPAN.fullmatch(text.strip())
    return None if found is None else timedelta(**{_UNITS[found[2]]: int(found[1])})


def _moment(text: str, option: str) -> datetime:
    when, zone = _split(text.strip(), option)
    try:
        moment = datetime.fromisoformat(when)
        if moment.tzinfo is None:
            return _in_zone(moment, zone, option)
        aware = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise WrongUse(
            f"{option} {text!r} is no moment: write 2027-01-31T08:00+01:00, "
            "'2027-01-31 08:00 Europe/Berlin' or a length of time such as 90m."
        ) from None
    if zone is not None:
        raise WrongUse(f"{option} {text!r} has both an offset and a time zone: leave one out.")
    return aware


def _split(text: str, option: str) -> tuple[str, ZoneInfo | None]:
    """The moment, and the zone named after it."""
    when, _, name = text.rpartition(" ")
    if not when or not name[:1].isalpha():
        return text, None
    try:
        return when, ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise WrongUse(f"{option}: there is no time zone {name!r}.") from None


def _in_zone(clock: datetime, zone: ZoneInfo | None, option: str) -> datetime:
    """A clock's time as a moment; of two the first. One that the clock skips is refused."""
    moment = (clock.astimezone() if zone is None else clock.replace(tzinfo=zone)).astimezone(UTC)
    there = moment.astimezone(zone)
    if there.replace(tzinfo=None) != clock:
        raise WrongUse(f"{option}: {clock:%Y-%m-%d %H:%M} does not exist there, the clocks go forward.")
    return moment
