"""Every job ends, whatever becomes of its agent."""

from datetime import UTC, datetime, timedelta

from store import jobs


async def back_date(db, job_id, column, minutes):
    await db.execute(
        f"UPDATE jobs SET {column} = now() - $2 * interval '1 minute' WHERE id = $1", job_id, minutes
    )


async def test_a_job_nobody_picks_up_fails_after_thirty_minutes(db, web1, queued, admin):
    job_id, fresh = await queued(), await queued()
    await back_date(db, job_id, "scheduled_at", 31)
    await back_date(db, fresh, "scheduled_at", 29)
    assert await jobs.fail_stale(db) == 1
    view = await jobs.show(db, admin, job_id)
    assert (view.status, view.reason) == ("failed", "Agent did not pick up job")
    assert (await jobs.show(db, admin, fresh)).status == "queued"


async def test_a_job_for_a_moment_that_has_passed_has_its_thirty_minutes_from_now(db, web1, queued, admin):
    job_id = await queued(scheduled_at=datetime.now(UTC) - timedelta(days=1))
    view = await jobs.show(db, admin, job_id)
    assert view.scheduled_at == view.created_at
    assert await jobs.fail_stale(db) == 0
    await web1.run(job_id)


async def test_the_thirty_minutes_begin_when_the_gate_before_a_job_is_decided(
    db, web1, instance, step_job, admin
):
    job_id = await step_job(await instance(gated=True))
    await back_date(db, job_id, "scheduled_at", 90)
    assert await jobs.fail_stale(db) == 0, "no agent may take it up"
    await db.execute("UPDATE approval_requests SET status = 'approved', decided_at = now()")
    assert await jobs.fail_stale(db) == 0
    assert "never seen; fails in 30 min" in (await jobs.show(db, admin, job_id)).waits
    await db.execute("UPDATE approval_requests SET decided_at = now() - interval '31 minutes'")
    assert await jobs.fail_stale(db) == 1


async def test_a_job_that_was_claimed_and_never_started_fails_too(db, web1, queued, admin):
    job_id = await queued()
    await web1.poll()
    await back_date(db, job_id, "claimed_at", 31)
    assert await jobs.fail_stale(db) == 1
    assert not (await web1.start(job_id)).accepted


async def test_a_running_job_times_out_after_twice_its_timeout(db, web1, queued, admin):
    job_id = await queued()  # 300 seconds
    await web1.poll()
    await web1.start(job_id)
    await back_date(db, job_id, "started_at", 9)
    assert await jobs.time_out_running(db) == 0
    await back_date(db, job_id, "started_at", 11)
    assert await jobs.time_out_running(db) == 1
    assert (await jobs.show(db, admin, job_id)).status == "timeout"


async def test_a_report_after_the_deadline_is_refused_and_kept(db, web1, queued):
    job_id = await queued()
    await web1.poll()
    await web1.start(job_id)
    await back_date(db, job_id, "started_at", 11)
    await jobs.time_out_running(db)
    assert not (await web1.complete(job_id)).accepted
    assert await db.fetchval("SELECT count(*) FROM refused_reports") == 1


async def test_a_cancel_does_not_wait_for_an_agent_that_is_gone(db, web1, queued, admin):
    job_id = await queued()
    await web1.poll()
    await web1.start(job_id)
    await jobs.cancel(db, admin, job_id)
    await back_date(db, job_id, "cancel_requested_at", 2)
    assert await jobs.time_out_running(db) == 0  # the agent was heard just now
    await db.execute("UPDATE agents SET last_seen_at = now() - interval '2 minutes'")
    assert await jobs.time_out_running(db) == 1
    assert (await jobs.show(db, admin, job_id)).status == "cancelled"


async def test_a_deadline_wakes_the_instance(db, web1, instance, step_job):
    instance_id = await instance()
    job_id = await step_job(instance_id)
    await back_date(db, job_id, "scheduled_at", 31)
    await jobs.fail_stale(db)
    assert await db.fetchval("SELECT wake_seq FROM instances WHERE id = $1", instance_id) == 1
