"""Ticks: each is answered once, by whoever fires, and what runs makes its children."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from definitions.errors import NotPermitted
from definitions.permissions import SYSTEM
from store import hosts, jobs, recurring_jobs, ticks, users
from store.recurring_views import TickView

COMMAND = {"type": "command", "hosts": ["web-1", "web-2"], "payload": {"command": "uptime"}}
MINUTE = timedelta(minutes=1)


async def recurring(org: Any, **more: Any) -> tuple[int, datetime]:
    """A template of every minute; its id, and its first tick."""
    made = await recurring_jobs.save(
        org.db, org.ana, {"name": "often", "cron": "* * * * *", "job": COMMAND, **more}
    )
    assert made.next_run_at is not None
    return made.id, made.next_run_at


async def ledger(org: Any, ref: int) -> list[TickView]:
    return (await recurring_jobs.ledger(org.db, org.vi, ref, limit=200)).items[::-1]


async def lines(org: Any, ref: int) -> list[tuple[str, str]]:
    return [(tick.outcome, tick.reason) for tick in await ledger(org, ref)]


async def test_a_tick_makes_a_job_a_host_and_says_what_comes_next(org: Any) -> None:
    ref, first = await recurring(org)
    assert await ticks.fire_due(org.db, ref, first - MINUTE / 2) == (0, 0, False)
    assert await ticks.fire_due(org.db, ref, first + MINUTE / 60) == (1, 1, False)
    assert await ticks.fire_due(org.db, ref, first + MINUTE / 30) == (0, 0, False)
    (tick,) = await ledger(org, ref)
    assert (tick.at, tick.kind, tick.outcome, tick.reason) == (first, "cron", "ran", "On time.")
    made = (await recurring_jobs.children(org.db, org.vi, ref)).items
    assert sorted(job.id for job in made) == tick.jobs
    assert {(job.host, job.recurring_job_id, job.tick_id) for job in made} == {
        ("web-1", ref, tick.id),
        ("web-2", ref, tick.id),
    }
    shown = await recurring_jobs.show(org.db, org.vi, ref)
    assert (shown.recurrences, shown.children, shown.next_run_at) == (1, 2, first + MINUTE)
    assert shown.last_tick == tick


async def test_a_tick_starts_an_instance_of_the_workflow(org: Any) -> None:
    await org.publish([{"id": "a", "type": "delay", "seconds": 1}])
    ref, first = await recurring(org, job=None, workflow={"name": "deploy", "hosts": ["web-1"]})
    await ticks.fire_due(org.db, ref, first)
    (instance,) = (await recurring_jobs.children(org.db, org.vi, ref)).items
    (tick,) = await ledger(org, ref)
    assert (instance.workflow_name, instance.recurring_job_id, tick.instances) == (
        "deploy",
        ref,
        [instance.id],
    )


async def test_a_saved_script_runs_as_an_execution_at_its_newest_version(org: Any, save_script: Any) -> None:
    script = await save_script()
    job = {"type": "script", "hosts": ["web-1"], "payload": {"script": "disk-check"}, "priority": "low"}
    ref, first = await recurring(org, job=job)
    await save_script(content="df")
    await ticks.fire_due(org.db, ref, first)
    (made,) = (await recurring_jobs.children(org.db, org.vi, ref)).items
    assert (made.script_id, made.script_version, made.priority) == (script, 2, "low")


async def test_fifty_at_once_fire_exactly_as_often_as_it_may(org: Any) -> None:
    ref, first = await recurring(org, max_recurrences=3, catch_up="all")
    moments = [first + MINUTE * number for number in range(10)]
    await asyncio.gather(*(ticks.fire_due(org.db, ref, moment) for moment in moments * 5))
    ran = [tick for tick in await ledger(org, ref) if tick.outcome == "ran"]
    shown = await recurring_jobs.show(org.db, org.vi, ref)
    assert (len(ran), shown.recurrences, shown.children) == (3, 3, 6)
    assert (shown.stopped, shown.next_run_at) == ("It has run 3 times, which is its limit.", None)


@pytest.mark.parametrize(
    ("catch_up", "ran"), [({"catch_up": "skip"}, 1), ({"catch_up": "one"}, 2), ({"catch_up": "all"}, 11)]
)
async def test_after_three_hours_away_the_newest_are_made_up_for(
    org: Any, catch_up: dict[str, Any], ran: int
) -> None:
    ref, first = await recurring(org, **catch_up)
    back = first + timedelta(hours=3, seconds=1)
    assert await ticks.fire_due(org.db, ref, back) == (181, ran, False)
    found = await ledger(org, ref)
    assert [tick.outcome for tick in found[-ran:]] == ["ran"] * ran
    shown = await recurring_jobs.show(org.db, org.vi, ref)
    assert (shown.recurrences, shown.next_run_at) == (ran, first + timedelta(hours=3, minutes=1))


async def test_a_long_outage_is_answered_in_parts_and_only_the_newest_tick_is_made_up_for(org: Any) -> None:
    ref, first = await recurring(org, catch_up="one")
    back = first + MINUTE * (ticks.BATCH + 2000)
    parts = [await ticks.fire_due(org.db, ref, back + MINUTE / 60) for _ in range(2)]
    assert parts == [(1000, 0, True), (2001, 2, False)]
    rows = await org.db.fetch("SELECT at FROM ticks WHERE outcome = 'ran' ORDER BY at")
    assert [row["at"] for row in rows] == [back - MINUTE, back]


async def test_a_clock_that_jumps_back_fires_nothing_twice(org: Any) -> None:
    ref, first = await recurring(org)
    await ticks.fire_due(org.db, ref, first + 5 * MINUTE)
    for back in range(5):
        assert await ticks.fire_due(org.db, ref, first + back * MINUTE) == (0, 0, False)
    assert await ticks.fire_due(org.db, ref, first + 6 * MINUTE) == (1, 1, False)


async def test_one_that_would_overlap_is_left_out_until_what_went_before_has_ended(org: Any) -> None:
    ref, first = await recurring(org, overlap="skip")
    await ticks.fire_due(org.db, ref, first)
    await ticks.fire_due(org.db, ref, first + MINUTE)
    for job in (await ledger(org, ref))[0].jobs:
        await jobs.cancel(org.db, org.ana, job)
    await ticks.fire_due(org.db, ref, first + 2 * MINUTE)
    assert [outcome for outcome, _ in await lines(org, ref)] == ["ran", "skipped", "ran"]


async def test_a_right_that_is_lost_leaves_ticks_out_and_they_say_so(org: Any) -> None:
    ref, first = await recurring(org, max_recurrences=1)
    await users.create(org.db, SYSTEM, "ada", None, None, ["admin"])
    await users.change(org.db, SYSTEM, org.ana.id, role_names=["viewer"])
    await ticks.fire_due(org.db, ref, first + MINUTE)
    expected = "Refused: ana lacks the permission jobs.manage (create, cancel, retry, delete jobs)."
    assert (await lines(org, ref))[-1] == ("skipped", expected)
    shown = await recurring_jobs.show(org.db, org.vi, ref)
    assert (shown.recurrences, shown.stopped, shown.children) == (0, None, 0)


async def test_a_host_that_is_gone_leaves_a_tick_out_whole(org: Any) -> None:
    ref, first = await recurring(org)
    await hosts.decommission(org.db, SYSTEM, "web-2")
    await ticks.fire_due(org.db, ref, first)
    assert await lines(org, ref) == [("skipped", "Refused: There is no host web-2.")]
    assert (await recurring_jobs.children(org.db, org.vi, ref)).items == []


async def test_what_is_due_when_it_is_disabled_never_runs_and_is_in_the_ledger(org: Any) -> None:
    ref, _ = await recurring(org, catch_up="all")
    await org.db.execute("UPDATE recurring_jobs SET answered_until = now() - interval '3 minutes'")
    await recurring_jobs.switch(org.db, org.ana, ref, enabled=False)
    found = await lines(org, ref)
    assert set(found) == {("skipped", "Disabled by ana before it was answered.")}
    assert len(found) == 3
    await recurring_jobs.switch(org.db, org.ana, ref, enabled=True)
    assert (await ticks.fire_due(org.db, ref)).ran == 0


async def test_by_hand_it_runs_whatever_its_limits_and_is_not_counted(org: Any) -> None:
    ref, first = await recurring(org, max_recurrences=1)
    await ticks.fire_due(org.db, ref, first)
    tick = await recurring_jobs.run(org.db, org.ana, ref)
    assert (tick.kind, tick.outcome, tick.fired_by, len(tick.jobs)) == ("manual", "ran", "ana", 2)
    assert (await recurring_jobs.show(org.db, org.vi, ref)).recurrences == 1
    with pytest.raises(NotPermitted):
        await recurring_jobs.run(org.db, org.vi, ref)


async def test_a_run_started_in_prefect_is_one_tick_however_often_it_is_tried(org: Any) -> None:
    ref, _ = await recurring(org)
    run = uuid4()
    made = {await ticks.fire_by_hand(org.db, None, ref, run) for _ in range(3)}
    assert [(each.outcome, each.reason) for each in made] == [("ran", "Started by Prefect.")]
    await hosts.decommission(org.db, SYSTEM, "web-2")
    refused = await ticks.fire_by_hand(org.db, None, ref, uuid4())
    assert (refused.outcome, refused.reason) == ("skipped", "Refused: There is no host web-2.")
