"""When ticks are, against cronsim, and minute by minute where cronsim is wrong."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from definitions.cron import Cron, parse_cron
from definitions.recurrence import next_tick, parse_zone, ticks
from tests.live.sizes import LIMIT_SECONDS, size

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Sydney",
    "Asia/Kathmandu",
    "Africa/Casablanca",
    "Europe/Lisbon",
)
BERLIN = ZoneInfo("Europe/Berlin")


def cron(text: str) -> Cron:
    made, problems = parse_cron(text)
    assert made is not None, problems
    return made


def shown(text: str, start: str, count: int, zone: ZoneInfo = BERLIN) -> list[str]:
    """The next ticks as a clock of the zone shows them; a repeat has a mark."""
    after = datetime.fromisoformat(start).replace(tzinfo=zone)
    found = ticks(cron(text), zone, after)
    return [
        f"{tick.at.astimezone(zone):%m-%d %H:%M %z}{' again' if tick.repeat else ''}"
        for tick, _ in zip(found, range(count), strict=False)
    ]


def test_in_the_hour_that_is_left_out_it_fires_right_after_it() -> None:
    assert shown("30 2 * * *", "2026-03-28T00:00", 3) == [
        "03-28 02:30 +0100",
        "03-29 03:00 +0200",
        "03-30 02:30 +0200",
    ]


def test_two_times_in_that_hour_are_one_tick_after_it() -> None:
    assert shown("0,30 2,3 * * *", "2026-03-29T00:00", 3) == [
        "03-29 03:00 +0200",
        "03-29 03:30 +0200",
        "03-30 02:00 +0200",
    ]


def test_in_the_hour_that_comes_twice_it_fires_the_first_time() -> None:
    assert shown("30 2 * * *", "2026-10-25T00:00", 3) == [
        "10-25 02:30 +0200",
        "10-25 02:30 +0100 again",
        "10-26 02:30 +0100",
    ]


def test_what_follows_real_time_fires_in_both_hours_and_not_in_the_one_left_out() -> None:
    assert shown("0 * * * *", "2026-10-25T01:30", 3) == [
        "10-25 02:00 +0200",
        "10-25 02:00 +0100",
        "10-25 03:00 +0100",
    ]
    assert shown("*/30 2-3 * * *", "2026-03-29T00:00", 2) == ["03-29 03:00 +0200", "03-29 03:30 +0200"]


def test_a_day_that_a_zone_leaves_out_moves_its_ticks_to_the_next() -> None:
    apia = ZoneInfo("Pacific/Apia")
    assert shown("0 12 * * *", "2011-12-29T13:00", 2, apia) == ["12-31 00:00 +1400", "12-31 12:00 +1400"]


def test_the_next_tick_is_no_repeat_and_may_never_come() -> None:
    after = datetime(2026, 10, 25, 0, 45, tzinfo=UTC)
    assert next_tick(cron("30 2 * * *"), BERLIN, after) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)
    assert next_tick(cron("0 0 1 1 *"), BERLIN, datetime(8999, 6, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("Europe/Berln", "Did you mean `Europe/Berlin`?"),
        ("../../etc/passwd", "Write a name of the IANA list, like Europe/Berlin."),
        ("", "Write a name of the IANA list, like Europe/Berlin."),
        (5, "Write a name of the IANA list, like Europe/Berlin."),
    ],
)
def test_an_unknown_zone_is_refused_in_words(name: object, fix: str) -> None:
    zone, problems = parse_zone(name)
    assert zone is None
    assert [(problem.code, problem.fix) for problem in problems] == [("unknown-timezone", fix)]


def _field(rnd: random.Random, low: int, high: int) -> str:
    kind = rnd.random()
    if kind < 0.15:
        return "*"
    if kind < 0.3:
        return f"*/{rnd.randint(1, high)}"

    def term() -> str:
        first = rnd.randint(low, high - 1)
        last = rnd.randint(first + 1, high)
        return rnd.choice([f"{first}", f"{first}-{last}", f"{first}-{last}/{rnd.randint(1, 7)}"])

    return ",".join(term() for _ in range(rnd.randint(1, 2)))


def expressions(count: int) -> Iterator[str]:
    """Random expressions that fire, the same ones each time."""
    rnd = random.Random(7)
    while count:
        day = _field(rnd, 1, 31) if rnd.random() < 0.4 else "*"
        month = _field(rnd, 1, 12) if rnd.random() < 0.3 else "*"
        weekday = _field(rnd, 0, 7) if rnd.random() < 0.4 else "*"
        text = f"{_field(rnd, 0, 59)} {_field(rnd, 0, 23)} {day} {month} {weekday}"
        if parse_cron(text)[0] is not None:
            count -= 1
            yield text


def ours(text: str, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    found = takewhile(lambda tick: tick.at < end, ticks(cron(text), zone, start))
    return [tick.at for tick in found if not tick.repeat]


def oracle(text: str, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """What cronsim says; it begins at the minute after its start."""
    found = (at.astimezone(UTC) for at in CronSim(text, start.astimezone(zone)))
    return sorted({at for at in takewhile(lambda at: at < end, found) if at > start})


def _changes(zone: ZoneInfo, year: int) -> list[datetime]:
    """The days of this year on which the zone's clocks change."""
    days = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in range(365)]
    offsets = [day.astimezone(zone).utcoffset() for day in days]
    return [day for day, before, after in zip(days, offsets, offsets[1:], strict=False) if before != after]


@pytest.mark.timeout(LIMIT_SECONDS)
@pytest.mark.parametrize("name", ZONES)
def test_the_weeks_in_which_clocks_change_equal_cronsim(name: str) -> None:
    zone = ZoneInfo(name)
    years = range(2018, size(2020, 2028))
    weeks = [day - timedelta(days=3) for year in years for day in _changes(zone, year)]
    for text in expressions(size(12, 500)):
        for start in weeks:
            end = start + timedelta(days=size(5, 7))
            assert ours(text, zone, start, end) == oracle(text, zone, start, end), (text, start)


@pytest.mark.timeout(LIMIT_SECONDS)
@pytest.mark.parametrize("name", ZONES)
def test_a_year_equals_cronsim(name: str) -> None:
    zone, start = ZoneInfo(name), datetime(2026, 1, 1, tzinfo=UTC)
    end = start + timedelta(days=size(20, 365))
    for text in expressions(size(12, 500)):
        assert ours(text, zone, start, end) == oracle(text, zone, start, end), text


@pytest.mark.parametrize(
    ("name", "days"),
    [
        ("Australia/Lord_Howe", ("2026-04-04", "2026-10-03")),  # half an hour
        ("America/Havana", ("2026-03-07", "2026-10-31")),  # at midnight
        ("America/Santiago", ("2026-04-04", "2026-09-05")),  # at midnight
        ("Pacific/Apia", ("2011-12-29", "2011-12-30")),  # a whole day
    ],
)
@pytest.mark.parametrize("text", ["*/18 9-17,16-22/7 * * *", "7-58 */2 * * *", "* 0-1,23 * * *"])
def test_where_cronsim_errs_real_time_equals_every_minute_of_the_clock(
    name: str, days: tuple[str, str], text: str
) -> None:
    """cronsim loses or moves ticks there: it steps by whole hours and from a midnight that may not be."""
    zone, made = ZoneInfo(name), cron(text)
    for day in map(datetime.fromisoformat, days):
        start = day.replace(tzinfo=UTC)
        minutes = [start + timedelta(minutes=number) for number in range(1, 2 * 1440)]
        walls = [(at, at.astimezone(zone)) for at in minutes]
        wanted = [at for at, wall in walls if wall.minute in made.minutes and wall.hour in made.hours]
        assert ours(text, zone, start, start + timedelta(days=2)) == wanted
