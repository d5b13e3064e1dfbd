"""Moments as people type them."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from deployments.cli.errors import WrongUse
from deployments.cli.moments import earlier, later

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2027-01-31T08:00+01:00", "2027-01-31T07:00"),
        ("2027-01-31T08:00Z", "2027-01-31T08:00"),
        ("2027-01-31 08:00 Europe/Berlin", "2027-01-31T07:00"),
        ("2027-07-31T08:00 Europe/Berlin", "2027-07-31T06:00"),
        ("2027-01-31 08:00 America/New_York", "2027-01-31T13:00"),
        ("2026-10-25 02:30 Europe/Berlin", "2026-10-25T00:30"),  # twice that night: the first
        ("2027-01-31 UTC", "2027-01-31T00:00"),
    ],
)
def test_a_moment_has_an_offset_or_the_name_of_a_zone(text, utc):
    assert later(text, "--at") == earlier(text, "--since") == datetime.fromisoformat(utc).replace(tzinfo=UTC)


def test_without_a_zone_it_is_this_machines(monkeypatch):
    with time_machine.travel("2026-11-23T00:00:00+05:30", tick=False):
        here = datetime(2027, 1, 31, 8, 0).astimezone()
        assert later("2027-01-31T08:00", "--at") == here


def test_a_length_of_time_counts_from_now():
    assert later("90m", "--at", NOW) == NOW + timedelta(minutes=90)
    assert earlier("7d", "--since", NOW) == NOW - timedelta(days=7)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tomorrow", "is no moment"),
        ("", "is no moment"),
        ("2027-13-01", "is no moment"),
        ("0001-01-01T00:00+14:00", "is no moment"),
        ("2027-01-31 08:00 Europe/Nowhere", "no time zone 'Europe/Nowhere'"),
        ("2027-01-31T08:00Z Europe/Berlin", "leave one out"),
        ("2027-03-28 02:30 Europe/Berlin", "does not exist there"),
    ],
)
def test_what_is_no_moment_is_refused_in_words(text, said):
    with pytest.raises(WrongUse, match=said):
        later(text, "--at")
