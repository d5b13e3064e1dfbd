"""Starting an instance, and what a person sees of one."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.payloads import CommandPayload
from definitions.errors import Conflict, Invalid, NotFound, NotPermitted
from definitions.lifecycles.job import JobStatus
from store import approvals, instances, job_endings, jobs, workflows
from store.instance_lists import InstanceFilter
from store.instance_views import InstanceView
from store.jobs import NewJob

SaveScript = Callable[..., Awaitable[int]]

WAIT = {"id": "wait", "type": "delay", "seconds": 5}
RUN = {"id": "run", "type": "command", "name": "Run it", "command": "true"}
GATE = {"id": "gate", "type": "approval", "title": "Deploy?", "approvers": ["role:approver"]}


async def reach(org: Any, instance: InstanceView, step: str, kind: str, **columns: Any) -> None:
    """Write a step's row as the engine does when it reaches the step."""
    names = "".join(f", {name}" for name in columns)
    values = "".join(f", ${n + 5}" for n in range(len(columns)))
    await org.db.execute(
        f"""INSERT INTO step_results (instance_id, step_id, visit, kind, name, status{names})
            VALUES ($1, $2, 1, $3, $4, 'waiting'{values})""",
        instance.id,
        step,
        kind,
        "",
        *columns.values(),
    )
    await org.db.execute("UPDATE instances SET status = 'running' WHERE id = $1", instance.id)


async def give_jobs(org: Any, instance: InstanceView, step: str = "run") -> list[int]:
    async with org.db.transaction() as tx:
        new = [NewJob("command", host, CommandPayload(command="true"), 2) for host in org.hosts]
        made: list[int] = await jobs.insert(tx, "ana", org.ana.id, new, instance.id, step, 1)
        return made


async def test_an_instance_begins_queued_at_the_first_step(org: Any) -> None:
    workflow_id = await org.publish([WAIT, RUN], inputs=[{"name": "n", "type": "integer", "default": 3}])
    view = await instances.start(org.db, org.ana, "deploy", ["web-2", org.hosts[0]], {})
    assert (view.workflow_id, view.workflow_version, view.status) == (workflow_id, 1, "queued")
    assert [host.name for host in view.hosts] == ["web-2", "web-1"]
    assert view.inputs == {"n": 3}
    assert [(active.step, active.visit) for active in view.frontier] == [("wait", 1)]
    assert view.started_by_name == "ana"
    assert view.waits_for is not None
    assert "worker" in view.waits_for


async def test_an_instance_keeps_the_version_it_started_with(org: Any) -> None:
    await org.publish([WAIT])
    first = await org.start("deploy")
    await org.publish([RUN])
    assert (await instances.show(org.db, org.vi, first.id)).workflow_version == 1
    assert (await org.start("deploy")).workflow_version == 2


async def test_an_instance_keeps_the_versions_of_its_scripts(org: Any, save_script: SaveScript) -> None:
    script_id = await save_script()
    await org.publish([{"id": "check", "type": "script", "script": "disk-check"}])
    view = await org.start("deploy")
    await save_script(content="df -i")
    pins = "SELECT pinned_scripts FROM instances WHERE id = $1"
    assert await org.db.fetchval(pins, view.id) == {str(script_id): 1}
    assert await org.db.fetchval(pins, (await org.start("deploy")).id) == {str(script_id): 2}


async def test_an_empty_or_unknown_target_set_is_refused(org: Any) -> None:
    await org.publish([RUN])
    nonsense: list[list[int | str]] = [[], ["nowhere"], ["tag:none"], [999]]
    for hosts in nonsense:
        with pytest.raises(Invalid) as refused:
            await instances.start(org.db, org.ana, "deploy", hosts, {})
        assert refused.value.problems[0].pointer.startswith("/hosts")
    assert await org.db.fetchval("SELECT count(*) FROM instances") == 0


async def test_inputs_that_do_not_fit_are_all_named(org: Any) -> None:
    await org.publish([WAIT], inputs=[{"name": "n", "type": "integer", "required": True}])
    with pytest.raises(Invalid) as refused:
        await org.start("deploy", n="many", zone="eu")
    assert {problem.pointer for problem in refused.value.problems} == {"/inputs/n", "/inputs/zone"}


async def test_a_draft_is_not_started(org: Any) -> None:
    await workflows.save_draft(org.db, org.ana, {"name": "deploy", "steps": [WAIT]})
    with pytest.raises(Conflict, match="publish it first"):
        await org.start("deploy")


async def test_an_archived_workflow_is_not_started(org: Any) -> None:
    await workflows.archive(org.db, org.ana, await org.publish([WAIT]))
    with pytest.raises(Conflict, match="archived"):
        await org.start("deploy")


@pytest.mark.parametrize(
    ("gate", "why"),
    [
        ({"approvers": ["user:ana"]}, "Nobody could decide"),
        ({"approvers": ["role:viewer", "nobody@example.org"]}, "Nobody could decide"),
        ({"approvers": ["user:ana", "user:bo"], "approval_type": "two_of_many"}, "could never be approved"),
        ({"approvers": ["role:approver"], "approval_type": "singular"}, "exactly one person"),
    ],
)
async def test_a_gate_that_nobody_could_pass_is_refused_at_the_start(
    org: Any, gate: dict[str, Any], why: str
) -> None:
    """Publishing cannot know who will start it: `ana` counts there, and not when she starts it."""
    await org.publish_unproved([WAIT, {**GATE, **gate}])
    with pytest.raises(Conflict, match=why):
        await org.start("deploy")
    assert await org.db.fetchval("SELECT count(*) FROM instances") == 0


async def test_a_viewer_starts_and_cancels_nothing(org: Any) -> None:
    await org.publish([WAIT])
    view = await org.start("deploy")
    for refused in (
        instances.start(org.db, org.vi, "deploy", ["web-1"], {}),
        instances.cancel(org.db, org.vi, view.id),
        instances.rerun(org.db, org.vi, view.id),
    ):
        with pytest.raises(NotPermitted):
            await refused


async def test_running_again_starts_the_newest_version_with_the_same_inputs(org: Any) -> None:
    await org.publish([WAIT], inputs=[{"name": "n", "type": "integer"}])
    first = await org.start("deploy", n=7)
    await org.publish([RUN], inputs=[{"name": "n", "type": "integer"}])
    again = await instances.rerun(org.db, org.bo, first.id)
    assert (again.workflow_version, again.inputs, again.started_by_name) == (2, {"n": 7}, "bo")
    assert again.hosts == first.hosts


async def test_a_waiting_gate_says_whom_it_waits_for(org: Any) -> None:
    await org.publish([{**GATE, "timeout_minutes": 60, "approval_type": "two_of_many"}])
    started = await org.start("deploy")
    await reach(org, started, "gate", "approval")
    request = await org.open_gate(started)
    await approvals.vote(org.db, org.cy, request.id, "approve", "", request.digest)
    view = await instances.show(org.db, org.vi, started.id)
    assert view.waits_for is not None
    assert "Approval of 'Deploy?' (1 of 2) by bo or di, until 20" in view.waits_for
    assert [each.id for each in view.approvals] == [request.id]
    assert view.steps[0].approval_id == request.id


async def test_a_delay_says_until_when(org: Any) -> None:
    await org.publish([WAIT])
    started = await org.start("deploy")
    await reach(org, started, "wait", "delay", wake_at=datetime(2027, 1, 31, 12, 0, tzinfo=UTC))
    view = await instances.show(org.db, org.vi, started.id)
    assert view.waits_for == "wait: waiting until 2027-01-31 12:00:00 UTC."


async def test_a_step_with_jobs_shows_each_with_the_end_of_its_output(org: Any) -> None:
    await org.publish([RUN])
    started = await org.start("deploy")
    await reach(org, started, "run", "command")
    first, _ = await give_jobs(org, started)
    for seq, text in enumerate([b"x" * 60_000, "é".encode() * 2500, b"the end\n"]):
        await org.db.execute(
            """INSERT INTO job_output (job_id, attempt, stream, seq, byte_offset, data)
               SELECT $1, 1, 'stdout', $2, coalesce(max(byte_offset + octet_length(data)), 0), $3
               FROM job_output WHERE job_id = $1""",
            first,
            seq,
            text,
        )
    view = await instances.show(org.db, org.vi, started.id)
    shown = view.steps[0].jobs
    assert next((job.id, job.host, job.status) for job in shown) == (first, "web-1", "queued")
    assert shown[0].stdout.endswith("éthe end\n")
    assert "x" not in shown[0].stdout
    assert "\ufffd" not in shown[0].stdout
    assert len(shown[0].stdout.encode()) in (4095, 4096)
    assert view.waits_for is not None
    assert "2 of 2 jobs not over, on web-1 (queued) and web-2 (queued)" in view.waits_for
    assert "never seen" in view.waits_for


async def test_an_ended_job_says_how_long_it_took(org: Any) -> None:
    await org.publish([RUN])
    started = await org.start("deploy")
    await reach(org, started, "run", "command")
    first, second = await give_jobs(org, started)
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    for status in ("pending", "running", "completed"):
        await org.db.execute("UPDATE jobs SET status = $2, exit_code = 0 WHERE id = $1", first, status)
    await org.db.execute(
        "UPDATE jobs SET started_at = $2, ended_at = $3 WHERE id = $1",
        first,
        begun,
        begun + timedelta(seconds=2.5),
    )
    view = await instances.show(org.db, org.vi, started.id)
    assert [(job.id, job.duration) for job in view.steps[0].jobs] == [(first, 2.5), (second, None)]
    assert view.waits_for is not None
    assert "1 of 2 jobs not over, on web-2 (queued)" in view.waits_for


async def test_a_step_in_waves_says_who_has_not_begun_and_until_when_it_has_time(org: Any) -> None:
    await org.publish([RUN])
    started = await org.start("deploy")
    noon = datetime(2027, 1, 31, 12, 0, tzinfo=UTC)
    third = await org.db.fetchval("INSERT INTO hosts (name, os) VALUES ('web-3', 'linux') RETURNING id")
    await reach(org, started, "run", "command", host_ids=[*org.hosts, third], deadline=noon)
    await give_jobs(org, started)
    view = await instances.show(org.db, org.vi, started.id)
    assert [(host.id, host.name) for host in view.steps[0].not_started] == [(third, "web-3")]
    assert view.steps[0].deadline == noon
    assert view.waits_for is not None
    assert view.waits_for.endswith("Not begun yet: web-3. It has time until 2027-01-31 12:00:00 UTC.")


async def test_a_job_that_tries_again_says_when_and_why(org: Any) -> None:
    await org.publish([RUN])
    started = await org.start("deploy")
    await reach(org, started, "run", "command")
    first, _ = await give_jobs(org, started)
    async with org.db.transaction() as tx:
        job = await job_endings.lock(tx, first)
        assert job is not None
        await job_endings.end(tx, job, JobStatus.FAILED, "exit code 3")
        assert await jobs.requeue(tx, first, 600) == 2
    view = await instances.show(org.db, org.vi, started.id)
    assert view.waits_for is not None
    assert "Attempt 2 begins at 20" in view.waits_for
    assert "min; the one before failed: exit code 3." in view.waits_for


async def test_who_may_not_see_jobs_sees_the_steps_only(org: Any) -> None:
    from dataclasses import replace

    await org.publish([RUN])
    started = await org.start("deploy")
    await reach(org, started, "run", "command")
    await give_jobs(org, started)
    blind = replace(org.vi, permissions=frozenset({"workflows.view"}))
    view = await instances.show(org.db, blind, started.id)
    assert [(step.step_id, step.jobs) for step in view.steps] == [("run", [])]


async def test_the_list_is_filtered_by_status_and_workflow(org: Any) -> None:
    await org.publish([WAIT])
    await org.publish([WAIT], name="other")
    deploys = [(await org.start("deploy")).id for _ in range(2)]
    other = (await org.start("other")).id
    await instances.cancel(org.db, org.ana, deploys[0])

    async def ids(**filters: Any) -> list[int]:
        found = await instances.listing(org.db, org.vi, InstanceFilter(**filters))
        return [row.id for row in found.items]

    assert await ids() == [other, deploys[1], deploys[0]]
    assert await ids(workflow="deploy") == [deploys[1], deploys[0]]
    assert await ids(workflow="deploy", status=["queued"]) == [deploys[1]]
    assert await ids(status=["cancelled", "queued"]) == [other, deploys[1], deploys[0]]
    assert await ids(workflow="missing") == []


async def test_the_list_is_filtered_by_who_where_when_and_what(org: Any) -> None:
    await org.publish([WAIT], inputs=[{"name": "release"}])
    first = await org.start("deploy", release="Seven_7")
    second = await instances.start(org.db, org.bo, "deploy", [*org.hosts], {"release": "eight"})
    await instances.cancel(org.db, org.ana, first.id, "the Wrong day")

    async def ids(**filters: Any) -> list[int]:
        found = await instances.listing(org.db, org.vi, InstanceFilter(**filters))
        return [row.id for row in found.items]

    assert await ids(started_by=" BO ") == [second.id]
    assert await ids(host="web-1") == await ids(host=str(org.hosts[0])) == [second.id, first.id]
    assert (await ids(host="web-2"), await ids(host="nowhere")) == ([second.id], [])
    assert await ids(since=second.created_at) == [second.id]
    assert await ids(until=second.created_at) == [first.id]
    assert (await ids(search="seven_"), await ids(search="wrong DAY")) == ([first.id], [first.id])
    assert (await ids(search="sev%n"), await ids(search="")) == ([], [second.id, first.id])
    assert await ids(search="deploy", started_by="ana", host="web-2") == []


async def test_an_unknown_instance_is_not_found(org: Any) -> None:
    for refused in (
        instances.show(org.db, org.vi, 999),
        instances.cancel(org.db, org.ana, 999),
        instances.rerun(org.db, org.ana, 999),
    ):
        with pytest.raises(NotFound):
            await refused


async def test_a_start_without_a_host_that_a_reference_names_is_refused(org: Any) -> None:
    steps = [
        {"id": "a", "type": "command", "command": "true"},
        {"id": "b", "type": "command", "command": "echo {{step_a.hosts.web-2.stdout}}"},
    ]
    workflow = await org.publish(steps)
    with pytest.raises(Invalid, match="would not run on a host `web-2`"):
        await org.start(workflow)
    assert (await instances.start(org.db, org.ana, workflow, ["web-1", "web-2"], {})).status == "queued"
