"""A delay: for a while or until a time, which may have come already or be no time at all."""

from datetime import timedelta
from typing import Any

import pytest

from store.engine import situation
from tasks.step_run import Settled, Waiting
from tests.tasks.conftest import Bench, MakeBench


async def moment(bench: Bench, **offset: float) -> str:
    now = await bench.run.db.fetchval("SELECT now()")
    return str((now + timedelta(**offset)).isoformat())


async def until(make: MakeBench, text: str, **fields: Any) -> Bench:
    """A delay until the value of an input."""
    bench = await make(type="delay", until="{{inputs.when}}", **fields)
    bench.run.situation.inputs["when"] = text
    return bench


async def test_a_delay_waits_for_its_moment_and_wakes_by_it(bench: MakeBench) -> None:
    step = await bench(type="delay", minutes=5)
    waiting = await step.begin()
    assert isinstance(waiting, Waiting)
    assert (waiting.kind, waiting.wake_at is not None) == ("delay", True)
    await step.pass_time(minutes=5)
    run = step.run
    run.situation.results = (await situation.load(run.db, run.lease, run.situation.workflow)).results
    settled = await step.settle()
    assert isinstance(settled, Settled)
    assert (settled.status, settled.reason) == ("completed", "The time has come.")


async def test_a_delay_until_a_time_that_has_passed_is_over_at_once(bench: MakeBench) -> None:
    settled = await (await until(bench, "2020-02-29T12:00:00Z")).begin()
    assert isinstance(settled, Settled)
    assert (settled.status, settled.reason) == ("completed", "The time had already come.")
    assert settled.input == {"until": "2020-02-29T12:00:00+00:00"}


@pytest.mark.parametrize("text", ["tomorrow", "2027-01-31T08:00:00", "9999-12-31T23:59:59-12:00"])
async def test_a_delay_until_no_time_fails_and_shows_what_it_was_given(bench: MakeBench, text: str) -> None:
    settled = await (await until(bench, text)).begin()
    assert isinstance(settled, Settled)
    assert settled.status == "failed"
    assert repr(text) in settled.reason
    assert settled.input == {"until": "{{inputs.when}}"}


async def test_a_delay_that_its_limit_does_not_allow_fails_before_it_waits(bench: MakeBench) -> None:
    step = await until(bench, "", timeout_minutes=5)
    step.run.situation.inputs["when"] = await moment(step, minutes=6)
    settled = await step.begin()
    assert isinstance(settled, Settled)
    assert settled.status == "failed"
    assert settled.reason.endswith("and not within 5 minutes.")
    step.run.situation.inputs["when"] = await moment(step, minutes=4)
    assert isinstance(await step.begin(), Waiting)
