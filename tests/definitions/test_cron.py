"""Cron expressions: what is taken, what is refused and in which words."""

from datetime import date
from itertools import islice

import pytest
from croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from definitions.cron import Cron, parse_cron


def cron(text: str) -> Cron:
    made, problems = parse_cron(text)
    assert made is not None, problems
    return made


def test_five_fields_become_sets() -> None:
    made = cron("*/20 8-10,14 1 jan,MAR-apr sun-tue")
    assert (made.minutes, made.hours) == ((0, 20, 40), (8, 9, 10, 14))
    assert (made.days, made.months, made.weekdays) == ({1}, {1, 3, 4}, {0, 1, 2})


def test_sunday_is_0_and_7() -> None:
    assert cron("0 0 * * 7") == Cron(**{**vars(cron("0 0 * * 0")), "text": "0 0 * * 7"})


def test_a_number_with_a_step_goes_to_the_end_of_its_field() -> None:
    assert cron("5/20 0 * * *").minutes == (5, 25, 45)


def test_two_restricted_days_mean_either_and_a_star_means_both() -> None:
    friday_the_12th, friday, thirteenth = date(2026, 6, 12), date(2026, 6, 19), date(2026, 6, 13)
    either = cron("0 0 12,13 * 5")
    assert [either.on(day) for day in (friday_the_12th, friday, thirteenth)] == [True, True, True]
    both = cron("0 0 */1 * 5")
    assert [both.on(day) for day in (friday_the_12th, friday, thirteenth)] == [True, True, False]


def test_a_day_of_another_month_is_none_of_its_days() -> None:
    leap = cron("0 0 29 2 *")
    assert [leap.on(date(2028, month, 29)) for month in (1, 2, 3)] == [False, True, False]
    assert list(islice(leap.days_from(date(2026, 12, 31)), 2)) == [date(2028, 2, 29), date(2032, 2, 29)]


@pytest.mark.parametrize(
    ("text", "code", "fix"),
    [
        ("@daily", "cron-macro", "Write `0 0 * * *`."),
        ("@reboot", "cron-macro", "`0 2 * * *` is daily"),
        ("0 0 2 * * *", "cron-fields", "Leave out seconds and years."),
        ("0 2 * *", "cron-fields", "`0 2 * * *` is daily"),
        ("", "bad-cron", "`0 2 * * *` is daily"),
        (None, "bad-cron", "`0 2 * * *` is daily"),
        ("0 0 31 2 *", "cron-never", "Correct the day of the month or the month."),
        ("0 0 31 4,6 */2", "cron-never", "Correct the day of the month or the month."),
        ("60 * * * *", "bad-cron", "Write a number from 0 to 59."),
        ("0 0 0 * *", "bad-cron", "Write a number from 1 to 31."),
        ("0 0 * FEV *", "bad-cron", "Did you mean `FEB`?"),
        ("0 0 * QQQ *", "bad-cron", "Write a number from 1 to 12."),
        ("0 0 * * FRI-MON", "bad-cron", "Write it as two, `5-7,0-1`."),
        ("*/0 * * * *", "bad-cron", "Write a step of 1 or more."),
        ("1,,2 * * * *", "bad-cron", "Write numbers, lists `1,15`, ranges `1-5` or steps `*/10`."),
        ("0 0 L * *", "bad-cron", "Use numbers, `*`, `,`, `-` and `/`."),
        ("0 0 15W * *", "bad-cron", "Use numbers, `*`, `,`, `-` and `/`."),
        ("0 0 * * 5#2", "bad-cron", "Use numbers, `*`, `,`, `-` and `/`."),
        ("0 0 ? * *", "bad-cron", "Use numbers, `*`, `,`, `-` and `/`."),
        ("H * * * *", "bad-cron", "Use numbers, `*`, `,`, `-` and `/`."),
        ("٣ * * * *", "bad-cron", "Write numbers, lists `1,15`, ranges `1-5` or steps `*/10`."),
    ],
)
def test_what_is_refused_is_refused_in_words(text: object, code: str, fix: str) -> None:
    made, problems = parse_cron(text)
    assert made is None
    assert [(problem.code, problem.pointer) for problem in problems] == [(code, "/cron")]
    assert fix in problems[0].fix


def test_every_field_that_is_wrong_is_named_at_once() -> None:
    _, problems = parse_cron("61 25 32 13 8")
    assert [problem.message.split(" `")[0] for problem in problems] == [
        "The minute",
        "The hour",
        "The day of the month",
        "The month",
        "The day of the week",
    ]


def test_february_29th_on_a_sunday_is_awaited_for_decades() -> None:
    days = cron("0 0 29 2 */7").days_from(date(2081, 1, 1))
    assert [next(days), next(days)] == [date(2088, 2, 29), date(2128, 2, 29)]


def test_the_days_end_with_the_calendar() -> None:
    assert list(cron("0 0 31 12 *").days_from(date(8999, 1, 1))) == [date(8999, 12, 31)]


@given(st.text(max_size=40) | st.text(alphabet="0123456789*/,-LWHR#?@ \tJANMOU", max_size=40))
def test_any_text_is_read_or_refused_and_what_is_read_prefect_takes_too(text: str) -> None:
    made, problems = parse_cron(text)
    assert (made is None) == bool(problems)
    assert made is None or croniter.is_valid(made.text)
