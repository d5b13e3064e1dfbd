"""What people do to jobs: dispatch, cancel, retry, delete, look."""

import asyncio
import json

import pytest

from agent.payloads import CommandPayload
from definitions.errors import Conflict, Invalid, NotFound, NotPermitted
from definitions.permissions import Actor
from store import hosts, instances, jobs
from store.hosts import LabelChange

NOBODY = Actor("user", None, "nobody")
VIEWER = Actor("user", None, "vera", frozenset({"jobs.view"}))


async def put(db, job_id, status):
    """Move a job along legal ways, without an agent."""
    paths = {
        "queued": [],
        "pending": ["pending"],
        "running": ["pending", "running"],
        "cancelled": ["cancelled"],
        "failed": ["failed"],
        "completed": ["pending", "running", "completed"],
        "timeout": ["pending", "running", "timeout"],
    }
    for each in paths[status]:
        await db.execute("UPDATE jobs SET status = $2 WHERE id = $1", job_id, each)


async def test_dispatch_makes_one_job_a_host(db, web1, enrolled, admin):
    await enrolled("web-2")
    ids = await jobs.dispatch(db, admin, "command", ["web-2", "web-1", "web-2"], {"command": "uptime"})
    assert [(await jobs.show(db, admin, job_id)).host for job_id in ids] == ["web-2", "web-1"]


async def test_dispatch_is_audited(db, web1, queued):
    job_id = await queued()
    row = await db.fetchrow("SELECT actor_name, subject_id FROM audit WHERE action = 'job.dispatch'")
    assert tuple(row) == ("ann", job_id)


@pytest.mark.parametrize("hosts_", [[], ["nowhere"], ["tag:none"], ["web-1", "nowhere"], ["@engine"]])
async def test_dispatch_to_no_host_or_an_unknown_one_makes_nothing(db, web1, admin, hosts_):
    with pytest.raises(Invalid) as refused:
        await jobs.dispatch(db, admin, "command", hosts_, {"command": "true"})
    assert refused.value.problems
    assert await db.fetchval("SELECT count(*) FROM jobs") == 0


@pytest.mark.parametrize(
    ("type_", "payload"),
    [
        ("dance", {}),
        ("command", {}),
        ("command", {"command": "true", "extra": 1}),
        ("command", {"command": "true", "environment": {"LD_PRELOAD": "x"}}),
        ("command", {"command": "true", "timeout_seconds": 0}),
        ("command", {"command": "a\0b"}),
        ("service_control", {"name": "nginx"}),
    ],
)
async def test_a_payload_that_does_not_fit_makes_nothing(db, web1, admin, type_, payload):
    with pytest.raises(Invalid) as refused:
        await jobs.dispatch(db, admin, type_, ["web-1"], payload)
    assert refused.value.problems
    assert await db.fetchval("SELECT count(*) FROM jobs") == 0


async def test_a_refused_payload_is_not_repeated_in_the_problem(db, web1, admin):
    with pytest.raises(Invalid) as refused:
        await jobs.dispatch(db, admin, "command", ["web-1"], {"command": ["hunter2"]})
    assert "hunter2" not in str(refused.value.problems)


async def test_values_of_the_environment_are_not_shown(db, web1, admin):
    payload = {"command": "true", "environment": {"OPSGATE_V1": "hunter2"}}
    (job_id,) = await jobs.dispatch(db, admin, "command", ["web-1"], payload)
    shown = await jobs.show(db, admin, job_id)
    assert shown.payload["environment"] == ["OPSGATE_V1"]
    assert "hunter2" not in json.dumps(shown.model_dump(mode="json"))
    assert (await web1.poll()).jobs[0].payload.environment == {"OPSGATE_V1": "hunter2"}


async def test_a_step_that_is_dispatched_again_gets_the_jobs_it_has(db, web1, instance, step_job):
    instance_id = await instance()
    assert await step_job(instance_id) == await step_job(instance_id)


async def test_two_visits_of_a_step_have_two_jobs(db, web1, instance, step_job):
    instance_id = await instance()
    first = await step_job(instance_id)
    async with db.transaction() as tx:
        new = jobs.NewJob("command", web1.actor.host_id, CommandPayload(command="true"), 2)
        (second,) = await jobs.insert(tx, "ann", None, [new], instance_id, "s", 2)
    assert second != first


@pytest.mark.parametrize("status", ["queued", "pending"])
async def test_a_job_that_has_not_started_is_cancelled_at_once(db, web1, queued, admin, status):
    job_id = await queued()
    await put(db, job_id, status)
    view = await jobs.cancel(db, admin, job_id)
    assert (view.status, view.reason, len(view.attempts)) == ("cancelled", "Cancelled by ann.", 1)


async def test_a_running_job_is_asked_to_stop(db, web1, queued, admin):
    job_id = await queued()
    await put(db, job_id, "running")
    view = await jobs.cancel(db, admin, job_id)
    assert (view.status, view.cancel_requested_at is not None) == ("running", True)


@pytest.mark.parametrize("status", ["completed", "failed", "timeout", "cancelled"])
async def test_a_job_that_has_ended_cannot_be_cancelled(db, web1, queued, admin, status):
    job_id = await queued()
    await put(db, job_id, status)
    with pytest.raises(Conflict, match=status):
        await jobs.cancel(db, admin, job_id)


@pytest.mark.parametrize("status", ["failed", "timeout"])
async def test_retry_makes_the_next_attempt_of_the_same_job(db, web1, queued, admin, status):
    job_id = await queued()
    await put(db, job_id, status)
    view = await jobs.retry(db, admin, job_id)
    assert (view.id, view.status, view.attempt, view.retry_count, view.reason) == (job_id, "queued", 2, 1, "")


async def test_a_job_of_a_host_that_is_gone_is_not_retried(db, web1, queued, admin):
    job_id = await queued()
    await hosts.decommission(db, admin, "web-1")
    with pytest.raises(Conflict, match="decommissioned"):
        await jobs.retry(db, admin, job_id)


@pytest.mark.parametrize("status", ["queued", "pending", "running", "completed", "cancelled"])
async def test_only_a_failed_or_timed_out_job_is_retried(db, web1, queued, admin, status):
    job_id = await queued()
    await put(db, job_id, status)
    with pytest.raises(Conflict):
        await jobs.retry(db, admin, job_id)


async def test_the_attempts_of_a_retried_job_are_kept(db, web1, queued, admin):
    job_id = await queued()
    await web1.run(job_id, exit_code=2)
    await jobs.retry(db, admin, job_id)
    await web1.run(job_id, 2)
    view = await jobs.show(db, admin, job_id)
    assert [(a.attempt, a.status, a.exit_code) for a in view.attempts] == [
        (1, "failed", 2),
        (2, "completed", 0),
    ]


async def test_a_job_of_a_settled_step_is_not_retried_alone(db, web1, instance, step_job, admin):
    instance_id = await instance()
    job_id = await step_job(instance_id)
    await web1.run(job_id, exit_code=1)
    await db.execute(
        """INSERT INTO step_results (instance_id, step_id, visit, kind, name, status, ended_at)
           VALUES ($1, 's', 1, 'command', 's', 'failed', now())""",
        instance_id,
    )
    with pytest.raises(Conflict, match="resume the instance"):
        await jobs.retry(db, admin, job_id)


@pytest.mark.parametrize("status", ["completed", "failed", "timeout", "cancelled"])
async def test_a_job_that_has_ended_can_be_deleted(db, web1, queued, admin, status):
    job_id = await queued()
    await put(db, job_id, status)
    await jobs.delete(db, admin, job_id)
    with pytest.raises(NotFound):
        await jobs.show(db, admin, job_id)


@pytest.mark.parametrize("status", ["queued", "pending", "running"])
async def test_an_unfinished_job_cannot_be_deleted(db, web1, queued, admin, status):
    job_id = await queued()
    await put(db, job_id, status)
    with pytest.raises(Conflict, match="cancel it first"):
        await jobs.delete(db, admin, job_id)


async def test_a_job_of_an_instance_is_deleted_once_that_has_ended_and_the_step_stays_as_it_went(
    db, web1, instance, step_job, admin
):
    instance_id = await instance()
    job_id = await step_job(instance_id)
    await web1.run(job_id, exit_code=1)
    await db.execute(
        """INSERT INTO step_results (instance_id, step_id, visit, kind, name, status, host_ids, facts,
                                     ended_at)
           VALUES ($1, 's', 1, 'command', 's', 'failed', $2, '{"hosts": []}', now())""",
        instance_id,
        [web1.actor.host_id],
    )
    with pytest.raises(Conflict, match="which has not ended"):
        await jobs.delete(db, admin, job_id)
    await db.execute("UPDATE instances SET status = 'failed', ended_at = now() WHERE id = $1", instance_id)
    await jobs.delete(db, admin, job_id)
    with pytest.raises(NotFound):
        await jobs.show(db, admin, job_id)
    (step,) = (await instances.show(db, admin, instance_id)).steps
    assert (step.status, step.jobs, step.not_started) == ("failed", [], [])


async def test_cancelling_an_instance_stops_its_jobs(db, web1, instance, step_job):
    instance_id = await instance()
    job_id = await step_job(instance_id)
    async with db.transaction() as tx:
        assert await jobs.cancel_of_instance(tx, instance_id, "The instance was cancelled.") == 1
    assert await db.fetchval("SELECT status FROM jobs WHERE id = $1", job_id) == "cancelled"


async def test_a_made_up_cursor_is_refused(db, admin):
    with pytest.raises(Invalid):
        await jobs.listing(db, admin, after="x")


@pytest.mark.parametrize("actor", [NOBODY, VIEWER])
async def test_changing_jobs_takes_jobs_manage(db, web1, queued, actor):
    job_id = await queued()
    for act in (
        lambda: jobs.dispatch(db, actor, "command", ["web-1"], {"command": "true"}),
        lambda: jobs.cancel(db, actor, job_id),
        lambda: jobs.retry(db, actor, job_id),
        lambda: jobs.delete(db, actor, job_id),
    ):
        with pytest.raises(NotPermitted):
            await act()


async def test_looking_at_jobs_takes_jobs_view(db):
    with pytest.raises(NotPermitted):
        await jobs.listing(db, NOBODY)
    with pytest.raises(NotPermitted):
        await jobs.show(db, NOBODY, 1)


async def test_targets_by_tag_and_group_reach_each_host_once(db, web1, enrolled, admin):
    await enrolled("web-2")
    await hosts.label(db, admin, "web-1", tags=["web"], groups=["north"])
    await hosts.label(db, admin, "web-2", tags=["web"])
    ids = await jobs.dispatch(db, admin, "command", ["group:north", "tag:web"], {"command": "true"})
    assert [(await jobs.show(db, admin, job_id)).host for job_id in ids] == ["web-1", "web-2"]


async def test_labels_are_added_and_removed_side_by_side_and_none_is_lost(db, web1, admin):
    await hosts.label(db, admin, "web-1", tags=["old", "web"], groups=["north"])
    changes = [LabelChange(add=[f"t{number}"], remove=["old"]) for number in range(8)]
    await asyncio.gather(*(hosts.label(db, admin, "web-1", tags=change) for change in changes))
    host = await hosts.show(db, admin, "web-1")
    assert (host.tags, host.groups) == ([*(f"t{number}" for number in range(8)), "web"], ["north"])
    with pytest.raises(Invalid) as refused:
        await hosts.label(db, admin, "web-1", tags=LabelChange(add=["a b"]))
    assert refused.value.problems[0].pointer == "/tags/add/0"
    with pytest.raises(Invalid, match="at most 100"):
        await hosts.label(db, admin, "web-1", tags=LabelChange(add=[f"u{number}" for number in range(95)]))
    assert await hosts.show(db, admin, "web-1") == host


async def test_a_decommissioned_host_is_no_target_and_its_jobs_fail(db, web1, queued, admin):
    running = await queued()
    await web1.poll()
    await web1.start(running)
    claimed = await queued()
    await web1.poll(holding=[(running, 1)])
    waiting = await queued()
    gone = await hosts.decommission(db, admin, "web-1")
    assert gone.failed_jobs == [running, claimed, waiting]
    for job_id in (running, claimed, waiting):
        view = await jobs.show(db, admin, job_id)
        assert (view.status, view.reason) == ("failed", "The host was decommissioned.")
    with pytest.raises(Invalid):
        await queued()
