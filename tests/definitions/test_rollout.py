"""Waves, further attempts and deadlines of a step on several hosts: what is decided from how they stand."""

from datetime import timedelta
from typing import Any

import pytest

from definitions.rollout import Decision, Standing, decide, limit_in_words, pause_before
from definitions.steps import CommandStep

NEW = Standing()
DONE = Standing("completed")


def step(**fields: Any) -> CommandStep:
    return CommandStep(id="a", command="true", **fields)


def ask(hosts: list[Standing], *, expired: bool = False, **fields: Any) -> Decision:
    return decide(step(**fields), hosts, expired=expired)


def test_without_a_limit_all_hosts_begin_at_once() -> None:
    assert ask([NEW] * 4).start == (0, 1, 2, 3)


def test_at_most_max_parallel_jobs_are_not_over_at_once() -> None:
    assert ask([NEW] * 4, max_parallel=2).start == (0, 1)
    running = [Standing("running"), Standing("queued"), NEW, NEW]
    assert ask(running, max_parallel=2).start == ()
    assert ask([DONE, *running[1:]], max_parallel=2).start == (2,)


def test_it_is_over_when_every_host_had_its_job_and_none_runs() -> None:
    assert ask([DONE, Standing("failed")]).over
    assert not ask([DONE, Standing("pending")]).over
    assert not ask([DONE, NEW], max_parallel=1).over


def test_there_is_something_to_do_or_only_to_wait_for() -> None:
    assert ask([NEW]).acts
    assert ask([Standing("failed")], retries=1).acts
    assert ask([Standing("running")], expired=True).acts
    assert not ask([Standing("running"), DONE, Standing("failed")]).acts


def test_failed_hosts_do_not_keep_others_from_beginning_unless_told() -> None:
    assert ask([Standing("failed"), Standing("timeout"), NEW], max_parallel=1).start == (2,)


@pytest.mark.parametrize(("most", "failed", "begins"), [(0, 1, False), (1, 1, False), (2, 1, True)])
def test_as_many_failed_hosts_as_max_failures_says_let_none_begin(
    most: int, failed: int, begins: bool
) -> None:
    found = ask([Standing("failed")] * failed + [NEW], max_parallel=1, max_failures=most)
    assert (bool(found.start), bool(found.halted)) == (begins, not begins)
    assert found.over is not begins


def test_max_failures_of_nothing_stops_nothing() -> None:
    assert ask([NEW, NEW], max_failures=0).start == (0, 1)


def test_what_runs_when_failures_stop_the_step_ends_by_itself() -> None:
    found = ask([Standing("failed"), Standing("running"), NEW], max_parallel=2, max_failures=1)
    assert (found.start, found.stop, found.over) == ((), (), False)


def test_what_waits_for_its_next_attempt_when_failures_stop_the_step_is_cancelled() -> None:
    waits = Standing("queued", attempt=2)
    hosts = [Standing("failed", attempt=3), waits, Standing("running", attempt=2)]
    found = ask(hosts, max_failures=1, retries=2)
    assert found.stop == (1,)


def test_what_the_step_stopped_itself_is_not_counted_as_why_it_stopped() -> None:
    hosts = [Standing("failed", attempt=2), Standing("cancelled", attempt=2), NEW]
    why = "1 of 3 hosts failed, and that stops the step (`max_failures`)."
    assert ask(hosts, max_failures=1, retries=1).halted == why


def test_what_a_person_cancelled_counts_when_it_stops_the_step() -> None:
    found = ask([Standing("cancelled"), NEW], max_parallel=1, max_failures=1)
    assert found.halted.startswith("1 of 2 hosts failed")


def test_a_failed_host_tries_again_as_often_as_the_step_says() -> None:
    hosts = [Standing("failed", attempt=2), Standing("timeout"), Standing("failed", attempt=3), DONE]
    found = ask(hosts, retries=2, retry_delay_seconds=5, retry_backoff=3)
    assert found.again == {0: 15, 1: 5}
    assert not found.over


def test_what_a_person_cancelled_is_not_tried_again() -> None:
    assert ask([Standing("cancelled")], retries=5).over


def test_a_host_that_was_decommissioned_does_not_try_again() -> None:
    assert ask([Standing("failed", gone=True)], retries=5).over


def test_a_host_that_tries_again_keeps_its_place_in_the_wave() -> None:
    found = ask([Standing("failed"), NEW], max_parallel=1, retries=1)
    assert (found.start, found.again) == ((), {0: 0})


def test_a_host_that_may_try_again_has_not_failed_yet() -> None:
    assert not ask([Standing("failed"), NEW], max_parallel=2, max_failures=1, retries=1).halted


def test_at_the_deadline_everything_is_stopped_once_and_nothing_begins() -> None:
    stopping = Standing("running", stopping=True)
    hosts = [Standing("running"), Standing("queued"), stopping, Standing("failed"), NEW]
    found = ask(hosts, expired=True, retries=1, timeout_minutes=5)
    assert (found.stop, found.start, found.again, found.over) == ((0, 1), (), {}, False)
    assert found.halted == "It was not over within 5 minutes."


def test_a_host_that_was_decommissioned_before_its_turn_gets_no_job_and_has_failed() -> None:
    hosts = [DONE, Standing(gone=True), NEW]
    assert ask(hosts, max_parallel=1).start == (2,)
    assert ask(hosts, max_parallel=1, max_failures=1).over


def test_pauses_grow_by_the_factor_up_to_the_longest() -> None:
    growing = step(retry_delay_seconds=2, retry_backoff=2, retry_max_delay_seconds=9)
    assert [pause_before(growing, attempt) for attempt in (2, 3, 4, 5, 6)] == [2, 4, 8, 9, 9]


def test_pauses_stay_within_a_year_whatever_the_factor() -> None:
    assert pause_before(step(retry_delay_seconds=1, retry_backoff=100), 1001) == 366 * 24 * 3600


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(5, "within 5 minutes"), (1, "within 1 minute"), (0.05, "within 3 seconds"), (1.5, "within 90 seconds")],
)
def test_a_limit_in_words(minutes: float, words: str) -> None:
    assert limit_in_words(step(timeout_minutes=minutes)) == words


def test_a_limit_is_in_minutes_and_need_not_be() -> None:
    assert step(timeout_minutes=1.5).limit == timedelta(seconds=90)
    assert step().limit is None
