"""A cron expression: its five fields as sets of numbers, or everything that is wrong with it.

The grammar is what every cron understands: numbers, names of months and days, `*`, lists, ranges and
steps. What only some understand (seconds, macros, `L`, `#`, `?`, ranges that wrap around) is refused in
words, because it would mean something else elsewhere. When both days are restricted either may match, as
in cron(5); a field that begins with `*` restricts nothing, even with a step, as in Debian's cron.
When the expression fires is in definitions.recurrence.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from definitions.nearest import nearest
from definitions.problems import Problem

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_ELSEWHERE = re.compile(r"[?#~%]|(?<![A-Z])[LWHR](?![A-Z])|[LW]$")
_TERM = re.compile(
    r"(?P<star>\*)(/(?P<star_step>[0-9]{1,4}))?"
    r"|(?P<first>[0-9]{1,4}|[A-Z]{3})(-(?P<last>[0-9]{1,4}|[A-Z]{3}))?(/(?P<step>[0-9]{1,4}))?",
    re.ASCII,
)
_LONGEST = 200
"""Most characters of an expression; far more than any that a person can read."""
_HORIZON = timedelta(days=51 * 366)
"""February 29th on one weekday comes back after 40 years at the latest (Gregorian calendar, 2100 skipped)."""


@dataclass(frozen=True)
class _Field:
    name: str
    lowest: int
    highest: int
    names: Mapping[str, int]


_FIELDS = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of the month", 1, 31, {}),
    _Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    _Field("day of the week", 0, 7, {name: number for number, name in enumerate(_WEEKDAYS)}),
)


@dataclass(frozen=True)
class Cron:
    """An expression that fires. Days of the week count from Sunday, 0."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    """A day fits if one of the two day fields fits; otherwise both must."""
    by_the_clock: bool
    """It names hours and minutes, so a day has each of them once; otherwise it follows real time."""

    def on(self, day: date) -> bool:
        """Whether it fires on this day of the calendar."""
        if day.month not in self.months:
            return False
        fits = (day.day in self.days, day.isoweekday() % 7 in self.weekdays)
        return any(fits) if self.either_day else all(fits)

    def days_from(self, start: date) -> Iterator[date]:
        """The days on which it fires, from this one on; ends after 51 years without one."""
        day, last = start, start
        while day - last <= _HORIZON and day < date(9000, 1, 1):
            if day.month not in self.months:  # a month at a time: of a 29th of February there are few
                day = date(day.year + day.month // 12, day.month % 12 + 1, 1)
                continue
            if self.on(day):
                last = day
                yield day
            day += timedelta(days=1)


def parse_cron(text: object, pointer: str = "/cron") -> tuple[Cron | None, list[Problem]]:
    """The expression, or every problem of it at this pointer."""

    def problem(code: str, message: str, fix: str) -> Problem:
        return Problem(pointer=pointer, code=code, message=message, fix=fix)

    if not isinstance(text, str) or not text.strip() or len(text) > _LONGEST:
        return None, [problem("bad-cron", "A cron expression is a text of five fields.", _EXAMPLE)]
    words = text.upper().split()
    if words[0].startswith("@"):
        meant = _MACROS.get(words[0].lower())
        fix = f"Write `{meant}`." if meant else _EXAMPLE
        return None, [problem("cron-macro", "Macros are not taken, only the five fields.", fix)]
    if len(words) != len(_FIELDS):
        message = f"A cron expression has five fields, and this one has {len(words)}."
        fix = "Leave out seconds and years." if len(words) in (6, 7) else _EXAMPLE
        return None, [problem("cron-fields", message, fix)]
    sets: list[frozenset[int]] = []
    problems: list[Problem] = []
    for word, field in zip(words, _FIELDS, strict=True):
        values, found = _values(word, field)
        sets.append(values)
        problems += [
            problem("bad-cron", f"The {field.name} `{word}`: {message}", fix) for message, fix in found
        ]
    if problems:
        return None, problems
    cron = Cron(
        text=" ".join(words),
        minutes=tuple(sorted(sets[0])),
        hours=tuple(sorted(sets[1])),
        days=sets[2],
        months=sets[3],
        weekdays=frozenset(value % 7 for value in sets[4]),
        either_day=not (words[2].startswith("*") or words[4].startswith("*")),
        by_the_clock=not (words[0].startswith("*") or words[1].startswith("*")),
    )
    if next(cron.days_from(date(2000, 1, 1)), None) is None:
        message = "It would never fire: no month of these has such a day."
        return None, [problem("cron-never", message, "Correct the day of the month or the month.")]
    return cron, []


_EXAMPLE = "Write minute, hour, day of the month, month, day of the week: `0 2 * * *` is daily at 02:00."


def _values(word: str, field: _Field) -> tuple[frozenset[int], list[tuple[str, str]]]:
    """The numbers of a field, and what is wrong with it, each with its fix."""
    if _ELSEWHERE.search(word):
        return frozenset(), [("only some schedulers know such signs.", "Use numbers, `*`, `,`, `-` and `/`.")]
    values: set[int] = set()
    found: list[tuple[str, str]] = []
    for term in word.split(","):
        try:
            values.update(_term(term, field))
        except _Wrong as wrong:
            found.append((wrong.message, wrong.fix))
    return frozenset(values), found


class _Wrong(Exception):
    """A part of a field that can't be read; stays in this module."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


def _term(term: str, field: _Field) -> range:
    """The numbers of one part of a list."""
    match = _TERM.fullmatch(term)
    if match is None:
        raise _Wrong("it can't be read.", "Write numbers, lists `1,15`, ranges `1-5` or steps `*/10`.")
    step = int(match["star_step"] or match["step"] or 1)
    if step == 0:
        raise _Wrong("a step of 0 never goes on.", "Write a step of 1 or more.")
    if match["star"]:
        return range(field.lowest, field.highest + 1, step)
    first = _number(match["first"], field)
    if match["last"] is None:
        return range(first, (field.highest if match["step"] else first) + 1, step)
    last = _number(match["last"], field)
    if last < first:
        raise _Wrong(
            "the range goes downward.", f"Write it as two, `{first}-{field.highest},{field.lowest}-{last}`."
        )
    return range(first, last + 1, step)


def _number(word: str, field: _Field) -> int:
    if not word.isdigit():
        if word in field.names:
            return field.names[word]
        fix = nearest(word, list(field.names)) or f"Write a number from {field.lowest} to {field.highest}."
        raise _Wrong(f"there is no `{word}`.", fix)
    number = int(word)
    if not field.lowest <= number <= field.highest:
        raise _Wrong("out of range.", f"Write a number from {field.lowest} to {field.highest}.")
    return number
