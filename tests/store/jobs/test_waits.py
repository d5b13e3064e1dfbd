"""Every queued job says why it waits, and when it is given up."""

from datetime import UTC, datetime, timedelta

import pytest

from store import hosts, jobs
from store.job_waits import NotStarted, why

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def job(**known):
    usual = {"now": NOON, "claimed_at": None, "scheduled_at": NOON - timedelta(minutes=18), "gate": None}
    host = {"host": "web-1", "decommissioned": False, "last_seen_at": NOON, "online": True, "busy_with": []}
    first = {"attempt": 1, "failed_before": None}
    return NotStarted(**{**usual, **first, **host, **known})


@pytest.mark.parametrize(
    ("known", "sentence"),
    [
        (
            {"online": False, "last_seen_at": NOON - timedelta(minutes=28)},
            "Agent of web-1 last seen 11:32 UTC, 28 min ago; fails in 12 min unless it picks the job up.",
        ),
        (
            {"online": False, "last_seen_at": NOON - timedelta(days=3)},
            "Agent of web-1 last seen 2026-11-20 12:00 UTC, 3 days ago; "
            "fails in 12 min unless it picks the job up.",
        ),
        (
            {"online": False, "last_seen_at": None},
            "Agent of web-1 never seen; fails in 12 min unless it picks the job up.",
        ),
        (
            {"scheduled_at": NOON + timedelta(hours=19)},
            "Scheduled for 2026-11-24 07:00 UTC, in 19 h.",
        ),
        (
            {"scheduled_at": NOON + timedelta(seconds=90), "attempt": 2, "failed_before": "exit code 3"},
            "Attempt 2 begins at 2026-11-23 12:01:30 UTC, in 90 s; the one before failed: exit code 3.",
        ),
        (
            {"scheduled_at": NOON + timedelta(seconds=90), "attempt": 3, "failed_before": ""},
            "Attempt 3 begins at 2026-11-23 12:01:30 UTC, in 90 s; the one before failed.",
        ),
        (
            {"not_read": "The vault main is sealed: unseal it."},
            "The vault main is sealed: unseal it; the vault is asked again for what the job runs by.",
        ),
        (
            {"gate": "Go on?"},
            "Waits for the approval 'Go on?', as long as that is open.",
        ),
        (
            {"busy_with": [3]},
            "The agent of web-1 is busy with job 3; fails in 12 min unless a slot is free.",
        ),
        (
            {"busy_with": [3, 4, 5]},
            "The agent of web-1 is busy with job 3, job 4 and job 5; fails in 12 min unless a slot is free.",
        ),
        (
            {"busy_with": [3, 4, 5, 6, 7]},
            "The agent of web-1 is busy with job 3, job 4, job 5 and 2 more; "
            "fails in 12 min unless a slot is free.",
        ),
        (
            {"claimed_at": NOON - timedelta(minutes=2)},
            "Claimed by the agent of web-1 at 11:58 UTC; fails in 28 min unless it starts.",
        ),
        ({}, "The agent of web-1 is online and picks it up next; fails in 12 min otherwise."),
        (
            {"decommissioned": True},
            "The host web-1 was decommissioned; fails in 12 min unless it is enrolled again.",
        ),
    ],
)
def test_the_first_thing_that_keeps_it_is_named(known, sentence):
    assert why(job(**known)) == sentence


async def waits(db, admin, job_id):
    (row,) = [row for row in (await jobs.listing(db, admin)).items if row.id == job_id]
    assert row.waits == (await jobs.show(db, admin, job_id)).waits
    return row.waits


async def test_a_queued_job_follows_what_becomes_of_its_agent(db, web1, queued, admin):
    job_id = await queued()
    assert "never seen; fails in 30 min" in await waits(db, admin, job_id)
    await db.execute("UPDATE agents SET last_seen_at = now() - interval '5 minutes'")
    assert "5 min ago" in await waits(db, admin, job_id)
    await db.execute("UPDATE agents SET last_seen_at = now()")
    assert "is online" in await waits(db, admin, job_id)
    earlier = await queued(priority=0)
    await web1.poll()
    assert f"busy with job {earlier}" in await waits(db, admin, job_id)
    assert "Claimed by the agent of web-1" in await waits(db, admin, earlier)


async def test_a_job_of_tomorrow_says_when(db, web1, queued, admin):
    at = datetime.now(UTC) + timedelta(days=1, minutes=1)
    job_id = await queued(scheduled_at=at)
    assert await waits(db, admin, job_id) == f"Scheduled for {at:%Y-%m-%d %H:%M} UTC, in 24 h."


async def test_a_job_behind_a_gate_names_the_approval(db, web1, instance, step_job, admin):
    job_id = await step_job(await instance(gated=True))
    assert "Waits for the approval 't'" in await waits(db, admin, job_id)


async def test_a_job_queued_again_by_its_step_on_a_host_that_is_gone_says_so(
    db, web1, instance, step_job, admin
):
    job_id = await step_job(await instance())
    await hosts.decommission(db, admin, "web-1")
    async with db.transaction() as tx:
        await jobs.requeue(tx, job_id)
    assert "was decommissioned" in await waits(db, admin, job_id)


@pytest.mark.parametrize("moves", [["pending", "running"], ["cancelled"]])
async def test_a_job_that_has_started_or_ended_waits_for_nothing(db, web1, queued, admin, moves):
    job_id = await queued()
    for status in moves:
        await db.execute("UPDATE jobs SET status = $2 WHERE id = $1", job_id, status)
    assert await waits(db, admin, job_id) is None
