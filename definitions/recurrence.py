"""When a recurring job's ticks are: the instants of a cron expression in a time zone.

The rule, for the days on which clocks change (it is that of Debian's cron(8)):

- An expression that names its minutes and hours, `30 2 * * *`, fires once on each of its days. In the
  hour that is left out it fires at the first moment after the gap, in the hour that comes twice only the
  first time; the second time is known as a repeat, so that the ledger can say that it was left out.
- One whose minutes or hours begin with `*`, `*/15 * * * *` or `0 * * * *`, follows real time: it does not
  fire in the hour that does not exist, and fires both times in the hour that comes twice.

Holds no limits and no catching up (definitions.due_ticks).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from definitions.cron import Cron
from definitions.nearest import nearest
from definitions.problems import Problem

_FARTHEST_BACK = timedelta(days=2)
"""Zones lie within a day of UTC, and a day left out by a zone moves its ticks to the next."""


@dataclass(frozen=True, order=True)
class Instant:
    """A moment of an expression."""

    at: datetime
    """In UTC."""
    repeat: bool = False
    """The clock shows this time for the second time: no tick."""


def parse_zone(name: object, pointer: str = "/timezone") -> tuple[ZoneInfo | None, list[Problem]]:
    """The time zone of an IANA name, or the problem of it."""
    message, fix = "A time zone is the name of a place, like Europe/Berlin, or UTC.", ""
    if isinstance(name, str) and name:
        try:
            return ZoneInfo(name), []
        except (ZoneInfoNotFoundError, ValueError, OSError):
            message = "There is no such time zone."
            fix = nearest(name, _zones())
    fix = fix or "Write a name of the IANA list, like Europe/Berlin."
    return None, [Problem(pointer=pointer, code="unknown-timezone", message=message, fix=fix)]


def ticks(cron: Cron, zone: ZoneInfo, after: datetime) -> Iterator[Instant]:
    """The instants later than this one, in order, repeats among them; ends when none comes for 51 years."""
    reached = after.astimezone(UTC)
    for at in _ordered(cron, zone, (after - _FARTHEST_BACK).astimezone(zone).date()):
        if at.at > reached:
            reached = at.at
            yield at


def next_tick(cron: Cron, zone: ZoneInfo, after: datetime) -> datetime | None:
    """The first tick later than this, in UTC."""
    return next((instant.at for instant in ticks(cron, zone, after) if not instant.repeat), None)


def _ordered(cron: Cron, zone: ZoneInfo, start: date) -> Iterator[Instant]:
    """All instants from this day on, in order. A day's are held back until no earlier one can come."""
    held: list[Instant] = []
    for day in cron.days_from(start):
        border = datetime.combine(day, time(), UTC) - timedelta(days=1)
        yield from (instant for instant in held if instant.at < border)
        held = sorted({*(instant for instant in held if instant.at >= border), *_of_day(cron, zone, day)})
    yield from held


def _of_day(cron: Cron, zone: ZoneInfo, day: date) -> Iterator[Instant]:
    for hour in cron.hours:
        for minute in cron.minutes:
            wall = datetime.combine(day, time(hour, minute))
            first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
            if first.astimezone(zone).replace(tzinfo=None, fold=0) != wall:
                if cron.by_the_clock:
                    yield Instant(_after_the_gap(wall, zone))
                continue
            yield Instant(first)
            if second != first:
                yield Instant(second, repeat=cron.by_the_clock)


def _after_the_gap(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first moment that the clock shows after it has left this time out, in UTC.

    In a gap the earlier fold is read with the offset from before it and comes out behind it (PEP 495), so
    the change of offset lies between the two readings.
    """
    low = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    high = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(minutes=1):
        middle = low + ((high - low) / 2 // timedelta(minutes=1)) * timedelta(minutes=1)
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == before else (low, middle)
    return high


def _zones() -> list[str]:
    from zoneinfo import available_timezones

    return sorted(available_timezones())
