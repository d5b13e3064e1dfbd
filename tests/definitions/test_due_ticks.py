"""What due ticks lead to: limits, overlap, catching up."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from definitions.due_ticks import Standing, answer, limit_of
from definitions.recurrence import Instant
from definitions.recurring_job import CatchUp

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PLAIN = Standing(
    overlap="allow",
    catch_up="skip",
    catch_up_limit=10,
    max_recurrences=None,
    end_date=None,
    recurrences=0,
    busy=False,
)


def hours(*ago: float) -> list[Instant]:
    return [Instant(NOW - timedelta(hours=hour)) for hour in ago]


def outcomes(due: list[Instant], standing: Standing) -> list[str]:
    return [each.outcome for each in answer(due, standing, NOW).answers]


def test_a_tick_on_time_runs() -> None:
    answers = answer([Instant(NOW - timedelta(seconds=2))], PLAIN, NOW)
    assert [(each.outcome, each.reason) for each in answers.answers] == [("ran", "On time.")]
    assert answers.stopped is None


@pytest.mark.parametrize(
    ("catch_up", "limit", "found"),
    [
        ("skip", 10, ["skipped", "skipped", "skipped", "ran"]),
        ("one", 10, ["skipped", "skipped", "ran", "ran"]),
        ("all", 2, ["skipped", "ran", "ran", "ran"]),
        ("all", 10, ["ran", "ran", "ran", "ran"]),
        ("all", 5, ["ran", "ran", "ran", "ran"]),
    ],
)
def test_the_newest_missed_ticks_are_made_up_for(catch_up: CatchUp, limit: int, found: list[str]) -> None:
    standing = replace(PLAIN, catch_up=catch_up, catch_up_limit=limit)
    assert outcomes(hours(3, 2, 1, 0), standing) == found


def test_while_an_earlier_tick_goes_on_the_next_are_skipped_if_so_wished() -> None:
    standing = replace(PLAIN, overlap="skip", catch_up="all")
    assert outcomes(hours(2, 1, 0), standing) == ["ran", "skipped", "skipped"]
    assert outcomes(hours(0), replace(standing, busy=True)) == ["skipped"]
    assert outcomes(hours(0), replace(standing, busy=True, overlap="allow")) == ["ran"]


def test_the_limit_holds_within_one_answer_and_ends_it() -> None:
    standing = replace(PLAIN, catch_up="all", max_recurrences=5, recurrences=3)
    answers = answer(hours(3, 2, 1, 0), standing, NOW)
    assert [each.outcome for each in answers.answers] == ["ran", "ran", "stopped"]
    assert answers.stopped == "It has run 5 times, which is its limit."


def test_a_tick_at_the_end_date_runs_and_one_after_it_stops_the_template() -> None:
    standing = replace(PLAIN, catch_up="all", end_date=NOW - timedelta(hours=1))
    answers = answer(hours(1, 0), standing, NOW)
    assert [each.outcome for each in answers.answers] == ["ran", "stopped"]
    assert answers.stopped == "No tick is left before its end date."


def test_a_repeat_is_skipped_whatever_the_rules() -> None:
    repeat = Instant(NOW, repeat=True)
    answers = answer([repeat], replace(PLAIN, catch_up="all"), NOW)
    assert answers.answers[0].reason.startswith("The clock shows this time for the second time")


def test_why_a_template_can_fire_no_more() -> None:
    assert limit_of(PLAIN, NOW) is None
    assert limit_of(PLAIN, None) == "No further tick comes."
    assert limit_of(replace(PLAIN, max_recurrences=1, recurrences=1), NOW) == (
        "It has run once, which is its limit."
    )
    assert limit_of(replace(PLAIN, end_date=NOW), NOW) is None


standings = st.builds(
    Standing,
    overlap=st.sampled_from(["allow", "skip"]),
    catch_up=st.sampled_from(["skip", "one", "all"]),
    catch_up_limit=st.integers(1, 8),
    max_recurrences=st.none() | st.integers(1, 8),
    end_date=st.none() | st.integers(0, 20).map(lambda ago: NOW - timedelta(hours=ago)),
    recurrences=st.integers(0, 8),
    busy=st.booleans(),
)


@given(st.sets(st.integers(0, 20)), standings)
def test_every_tick_is_answered_until_the_template_stops_and_no_limit_is_passed(
    ago: set[int], standing: Standing
) -> None:
    due = hours(*sorted(ago, reverse=True))
    answers = answer(due, standing, NOW)
    ran = [each.at for each in answers.answers if each.outcome == "ran"]
    assert [each.at for each in answers.answers] == [each.at for each in due][: len(answers.answers)]
    assert (answers.stopped is None) == all(each.outcome != "stopped" for each in answers.answers)
    if answers.stopped is None:
        assert len(answers.answers) == len(due)
    if standing.max_recurrences is not None:
        assert len(ran) <= max(0, standing.max_recurrences - standing.recurrences)
    if standing.overlap == "skip":
        assert len(ran) <= (0 if standing.busy else 1)
    if standing.end_date is not None:
        assert all(at <= standing.end_date for at in ran)
