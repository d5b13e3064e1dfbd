"""Reports: which word of an agent moves a job, and what is refused and kept."""

import base64

import pytest

from store import jobs

ENDINGS = [
    ({"outcome": "exited", "exit_code": 0}, "completed", ""),
    ({"outcome": "exited", "exit_code": 3}, "failed", "exit code 3"),
    ({"outcome": "exited", "exit_code": None}, "failed", "no exit code"),
    ({"outcome": "timeout"}, "timeout", "It took longer than its timeout and was stopped."),
    ({"outcome": "cancelled"}, "cancelled", "It was stopped."),
    ({"outcome": "interrupted"}, "failed", "The agent stopped while it ran."),
    ({"outcome": "refused", "reason": "pwsh is not here"}, "failed", "pwsh is not here"),
]


@pytest.fixture
async def claimed(web1, queued):
    job_id = await queued()
    await web1.poll()
    return job_id


@pytest.fixture
async def running(web1, claimed):
    assert (await web1.start(claimed)).accepted
    return claimed


async def state(db, job_id):
    return tuple(await db.fetchrow("SELECT status, reason FROM jobs WHERE id = $1", job_id))


@pytest.mark.parametrize(("said", "status", "reason"), ENDINGS)
async def test_an_outcome_ends_a_running_job(db, web1, running, said, status, reason):
    assert (await web1.complete(running, **said)).accepted
    assert await state(db, running) == (status, reason)
    attempt = await db.fetchrow(
        "SELECT attempt, status, outcome FROM job_attempts WHERE job_id = $1", running
    )
    assert tuple(attempt) == (1, status, said["outcome"])


@pytest.mark.parametrize(
    ("outcome", "status"), [("refused", "failed"), ("interrupted", "failed"), ("cancelled", "cancelled")]
)
async def test_an_attempt_that_never_ran_may_end_without_a_start(db, web1, claimed, outcome, status):
    assert (await web1.complete(claimed, outcome=outcome, exit_code=None)).accepted
    assert (await state(db, claimed))[0] == status


@pytest.mark.parametrize("outcome", ["exited", "timeout"])
async def test_what_must_have_run_needs_an_acknowledged_start(db, web1, claimed, outcome):
    reply = await web1.complete(claimed, outcome=outcome)
    assert (reply.accepted, reply.reason) == (False, "The job is pending.")
    assert (await state(db, claimed))[0] == "pending"


async def test_a_start_that_is_asked_twice_is_given_twice(web1, running):
    assert (await web1.start(running)).accepted


async def test_an_identical_report_again_is_accepted_and_changes_nothing(db, web1, running):
    await web1.complete(running, exit_code=3)
    before = await db.fetchrow("SELECT * FROM jobs WHERE id = $1", running)
    assert (await web1.complete(running, exit_code=3)).accepted
    assert await db.fetchrow("SELECT * FROM jobs WHERE id = $1", running) == before


async def test_an_identical_report_is_accepted_even_after_a_retry(db, web1, running, admin):
    await web1.complete(running, exit_code=3)
    await jobs.retry(db, admin, running)
    assert (await web1.complete(running, exit_code=3)).accepted
    assert (await state(db, running))[0] == "queued"


async def test_another_report_of_an_ended_attempt_is_refused_and_kept(db, web1, running):
    await web1.complete(running, exit_code=3)
    reply = await web1.complete(running, exit_code=0)
    assert (reply.accepted, reply.reason) == (False, "The attempt has ended as failed already.")
    assert await state(db, running) == ("failed", "exit code 3")
    kept = await db.fetchrow("SELECT job_id, attempt, agent_id, reason FROM refused_reports")
    assert tuple(kept) == (running, 1, web1.actor.id, reply.reason)


async def test_no_report_moves_a_job_of_another_host(db, running, enrolled):
    web2 = await enrolled("web-2")
    assert not (await web2.complete(running)).accepted
    assert not (await web2.start(running)).accepted
    assert (await state(db, running))[0] == "running"
    assert await db.fetchval("SELECT count(*) FROM refused_reports") == 2


@pytest.mark.parametrize("attempt", [0, 2])
async def test_no_report_moves_another_attempt(web1, running, attempt):
    assert not (await web1.complete(running, attempt)).accepted
    assert not (await web1.start(running, attempt)).accepted


async def test_a_report_of_a_job_that_is_not_there_is_refused(web1):
    assert (await web1.start(4711)).reason == "There is no such job."


async def test_a_queued_job_is_not_started(web1, queued):
    assert not (await web1.start(await queued())).accepted


async def test_a_job_cancelled_before_it_started_does_not_start(db, web1, claimed, admin):
    await jobs.cancel(db, admin, claimed)
    reply = await web1.start(claimed)
    assert (reply.accepted, reply.reason) == (False, "The job is cancelled: don't run it.")


async def test_a_process_that_does_not_poll_starts_nothing(web1, claimed):
    web1.boot_id = "another"
    assert not (await web1.start(claimed)).accepted


async def test_a_cancelled_running_job_ends_when_the_agent_says_so(db, web1, running, admin):
    assert (await jobs.cancel(db, admin, running)).status == "running"
    assert (await web1.complete(running, outcome="cancelled", exit_code=None)).accepted
    assert await state(db, running) == ("cancelled", "Cancelled by ann.")


async def test_a_job_that_finished_before_the_cancel_arrived_keeps_its_result(db, web1, running, admin):
    await jobs.cancel(db, admin, running)
    await web1.complete(running, exit_code=0)
    assert await state(db, running) == ("completed", "")


async def test_short_output_rides_in_the_report(db, web1, running, admin):
    data = "héllo\n".encode()
    inline = {"length": len(data), "total": len(data), "inline": base64.b64encode(data).decode()}
    await web1.complete(running, stdout=inline)
    row = await db.fetchrow("SELECT seq, data FROM job_output WHERE job_id = $1", running)
    assert tuple(row) == (0, data)
    assert (await jobs.show(db, admin, running)).stdout_length == len(data)


@pytest.mark.parametrize("inline", ["not base64!", base64.b64encode(bytes(16 * 1024 + 1)).decode()])
async def test_inline_output_that_is_none_is_refused(db, web1, running, inline):
    assert not (await web1.complete(running, stderr={"inline": inline})).accepted
    assert (await state(db, running))[0] == "running"
    assert await db.fetchval("SELECT count(*) FROM job_output") == 0


async def test_output_that_never_came_is_flagged(db, web1, running, admin):
    await web1.complete(running, stdout={"length": 10, "total": 10})
    assert (await jobs.show(db, admin, running)).stdout_truncated


async def test_a_nul_in_a_reason_is_no_way_to_break_the_report(db, web1, running):
    await web1.complete(running, outcome="refused", exit_code=None, reason="a\0b")
    assert await state(db, running) == ("failed", "a\N{REPLACEMENT CHARACTER}b")
    assert not (await web1.complete(running, outcome="refused", exit_code=None, reason="c\0d")).accepted


async def test_a_job_of_an_instance_wakes_it_when_it_ends(db, web1, instance, step_job):
    instance_id = await instance()
    job_id = await step_job(instance_id)
    before = await db.fetchval("SELECT wake_seq FROM instances WHERE id = $1", instance_id)
    await web1.run(job_id)
    assert await db.fetchval("SELECT wake_seq FROM instances WHERE id = $1", instance_id) == before + 1
