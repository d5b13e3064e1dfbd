"""Going on with an instance that failed or was stopped, and running one again."""

import os
from typing import Any

import pytest

from agent.payloads import CommandPayload
from definitions.errors import Conflict, Invalid, NotFound, NotPermitted
from definitions.lifecycles.instance import InstanceStatus, StepStatus
from definitions.routing import Active, Advance, Outcome, advance
from store import instances, jobs, sealed_values, workflows
from store.engine import commits, leases, workers
from store.jobs import NewJob
from store.sealing import SealingKeys


def command(step_id: str, **more: Any) -> dict[str, Any]:
    return {"id": step_id, "type": "command", "command": "true", **more}


class Engine:
    """Commits what the engine would, without Prefect or hosts."""

    def __init__(self, org: Any, instance_id: int, lease: leases.Lease) -> None:
        self.org, self.instance_id, self.lease = org, instance_id, lease

    @classmethod
    async def take(cls, org: Any, instance_id: int) -> "Engine":
        worker = await org.db.fetchval("SELECT gen_random_uuid()")
        await workers.register(org.db, worker, "test")
        return cls(org, instance_id, await leases.take(org.db, instance_id, worker))

    async def frontier(self) -> tuple[Active, ...]:
        found = (await leases.glance(self.org.db, self.lease)).frontier
        return tuple(Active(**entry) for entry in found)

    async def end(self, step_id: str, outcome: Outcome) -> Advance:
        """A step of the frontier has ended so."""
        view = await instances.show(self.org.db, self.org.vi, self.instance_id)
        workflow = await workflows.load_version(self.org.db, view.workflow_id, view.workflow_version)
        frontier = await self.frontier()
        active = next(each for each in frontier if each.step == step_id)
        ahead = advance(workflow, frontier, active, outcome)
        failed = outcome is Outcome.FAILURE
        follows, _ = await commits.close_step(
            self.org.db,
            self.lease,
            commits.StepRow(active, "command", "", {}),
            status=StepStatus.FAILED if failed else StepStatus.COMPLETED,
            outcome=outcome,
            facts=None,
            reason="It broke." if failed else "",
            advance=ahead,
            task_run_id=None,
        )
        return follows

    async def leave(self) -> None:
        await leases.release(self.org.db, self.lease, went_well=True)


async def failed_at_b(org: Any, **more: Any) -> int:
    """An instance of a, b, c whose second step failed."""
    await org.publish([command("a"), command("b"), command("c")], **more)
    instance: int = (await org.start("deploy")).id
    engine = await Engine.take(org, instance)
    await engine.end("a", Outcome.SUCCESS)
    assert (await engine.end("b", Outcome.FAILURE)).ended == InstanceStatus.FAILED
    await engine.leave()
    return instance


async def test_it_goes_on_at_the_failed_step_and_keeps_every_result(org: Any) -> None:
    instance = await failed_at_b(org)
    view = await instances.resume(org.db, org.bo, instance)
    assert (view.status, view.ended_at, view.reason) == ("running", None, "")
    assert view.frontier[0].model_dump() == {"step": "b", "visit": 2}
    assert view.waits_for == "It is about to run b."
    assert [(step.step_id, step.visit, step.status) for step in view.steps] == [
        ("a", 1, "completed"),
        ("b", 1, "failed"),
    ]
    engine = await Engine.take(org, instance)
    await engine.end("b", Outcome.SUCCESS)
    assert (await engine.end("c", Outcome.SUCCESS)).ended == InstanceStatus.COMPLETED
    shown = await instances.show(org.db, org.vi, instance)
    assert [(step.step_id, step.visit) for step in shown.steps] == [("a", 1), ("b", 1), ("b", 2), ("c", 2)]


async def test_what_a_step_was_sent_keeps_no_instance_from_going_on(org: Any) -> None:
    instance = await failed_at_b(org)
    await org.db.execute("UPDATE step_results SET input = $1", {"title": "a\0b"})
    assert (await instances.resume(org.db, org.bo, instance)).status == "running"


async def test_who_resumed_it_and_how_it_had_ended_stays_to_be_seen(org: Any) -> None:
    instance = await failed_at_b(org)
    await instances.resume(org.db, org.bo, instance)
    (trace,) = (await instances.show(org.db, org.vi, instance)).resumes
    assert (trace.by, trace.steps, trace.visit, trace.was) == ("bo", ["b"], 2, "failed")
    assert trace.reason == "It broke."
    row = await org.db.fetchrow("SELECT actor_name, detail FROM audit WHERE action = 'instance.resume'")
    assert (row["actor_name"], row["detail"]) == ("bo", {"steps": ["b"], "visit": 2, "was": "failed"})


async def test_a_running_or_completed_one_is_not_resumed(org: Any) -> None:
    instance = await failed_at_b(org)
    await instances.resume(org.db, org.ana, instance)
    with pytest.raises(Conflict, match="is running: it goes on by itself"):
        await instances.resume(org.db, org.ana, instance)
    engine = await Engine.take(org, instance)
    await engine.end("b", Outcome.SUCCESS)
    await engine.end("c", Outcome.SUCCESS)
    with pytest.raises(Conflict, match="has completed; run it again instead"):
        await instances.resume(org.db, org.ana, instance)
    with pytest.raises(NotFound):
        await instances.resume(org.db, org.ana, 999)


async def test_only_who_may_start_instances_resumes_them(org: Any) -> None:
    instance = await failed_at_b(org)
    with pytest.raises(NotPermitted):
        await instances.resume(org.db, org.vi, instance)


async def test_it_waits_until_its_jobs_have_been_stopped(org: Any) -> None:
    instance = await failed_at_b(org)
    async with org.db.transaction() as tx:
        new = [NewJob("command", org.hosts[0], CommandPayload(command="true"), 2)]
        (job,) = await jobs.insert(tx, "ana", org.ana.id, new, instance, "b", 1)
    with pytest.raises(Conflict, match=f"being stopped still: job {job} on web-1"):
        await instances.resume(org.db, org.ana, instance)
    await org.db.execute("UPDATE jobs SET status = 'cancelled'")
    assert (await instances.resume(org.db, org.ana, instance)).status == "running"


async def test_a_cancelled_one_goes_on_where_it_was_stopped(org: Any) -> None:
    await org.publish([command("a"), command("b")])
    instance = (await org.start("deploy")).id
    engine = await Engine.take(org, instance)
    await instances.cancel(org.db, org.ana, instance)
    assert (await engine.end("a", Outcome.SUCCESS)).ended == InstanceStatus.CANCELLED
    view = await instances.resume(org.db, org.ana, instance)
    assert ([step.step for step in view.frontier], view.cancel_requested_at) == (["b"], None)
    assert view.steps[0].routed_to == "b", "what it was kept from is where it leads"


async def test_one_that_was_cancelled_before_it_began_begins(org: Any) -> None:
    await org.publish([command("a")])
    instance = (await org.start("deploy")).id
    await instances.cancel(org.db, org.ana, instance)
    view = await instances.resume(org.db, org.ana, instance)
    assert [(step.step, step.visit) for step in view.frontier] == [("a", 1)]


async def test_of_branches_only_the_failed_one_goes_on(org: Any) -> None:
    branches = [{"name": name, "steps": [command(name)]} for name in ("x", "y")]
    await org.publish([{"id": "p", "type": "parallel", "branches": branches}])
    instance = (await org.start("deploy")).id
    engine = await Engine.take(org, instance)
    both = (Active("p", 1), Active("x", 1), Active("y", 1))
    row = commits.StepRow(both[0], "parallel", "Both", {"join": "all"})
    await commits.open_step(org.db, engine.lease, row, status=StepStatus.RUNNING, frontier=both)
    await engine.end("x", Outcome.SUCCESS)
    await engine.end("y", Outcome.FAILURE)
    await engine.end("p", Outcome.FAILURE)
    view = await instances.resume(org.db, org.ana, instance)
    assert [(step.step, step.visit) for step in view.frontier] == [("p", 2), ("y", 2)]
    again = view.steps[-1]
    assert (again.step_id, again.visit, again.status, again.name) == ("p", 2, "running", "Both")
    assert again.input == {"join": "all", "goes_on_from_visit": 1}
    assert view.resumes[0].steps == ["y"]


async def test_a_parallel_step_that_goes_on_has_its_time_anew(org: Any) -> None:
    branches = [{"steps": [command(name)]} for name in ("x", "y")]
    await org.publish([{"id": "p", "type": "parallel", "timeout_minutes": 1.5, "branches": branches}])
    instance = (await org.start("deploy")).id
    engine = await Engine.take(org, instance)
    both = (Active("p", 1), Active("x", 1), Active("y", 1))
    row = commits.StepRow(both[0], "parallel", "Both", {"join": "all"})
    await commits.open_step(org.db, engine.lease, row, status=StepStatus.RUNNING, frontier=both)
    for step in ("y", "x", "p"):
        await engine.end(step, Outcome.FAILURE)
    await instances.resume(org.db, org.ana, instance)
    left = await org.db.fetchval(
        "SELECT extract(epoch FROM deadline - now()) FROM step_results WHERE step_id = 'p' AND visit = 2"
    )
    assert left is not None
    assert 60 < left <= 90


async def test_secret_inputs_are_given_again_for_they_are_not_kept(org: Any) -> None:
    org.db.keys = SealingKeys([os.urandom(32)])
    await org.publish([command("a")], inputs=[{"name": "key", "type": "secret"}, {"name": "plain"}])
    instance = (await org.start("deploy", key="hunter2", plain="shown")).id
    await instances.cancel(org.db, org.ana, instance)
    for given in ({}, {"key": "hunter3", "plain": "other"}):
        with pytest.raises(Invalid):
            await instances.resume(org.db, org.ana, instance, given)
        with pytest.raises(Invalid):
            await instances.rerun(org.db, org.ana, instance, given)
    again = await instances.rerun(org.db, org.ana, instance, {"key": "hunter4"})
    assert await sealed_values.of_instance(org.db, again.id) == {"key": "hunter4"}
    view = await instances.resume(org.db, org.ana, instance, {"key": "hunter3"})
    assert view.inputs == {"key": "***", "plain": "shown"}
    assert await sealed_values.of_instance(org.db, instance) == {"key": "hunter3"}


async def test_running_again_takes_the_published_version_or_says_why_it_can_not(org: Any) -> None:
    await org.publish([command("a")], inputs=[{"name": "n", "type": "integer"}])
    first = await org.start("deploy", n=7)
    await org.publish([command("b")], inputs=[{"name": "n", "type": "integer"}])
    again = await instances.rerun(org.db, org.bo, first.id)
    assert (again.workflow_version, again.rerun_of, again.inputs) == (2, first.id, {"n": 7})
    await org.publish([command("b")], inputs=[{"name": "other"}])
    with pytest.raises(Invalid, match="ran version 1, which can be run again too") as refused:
        await instances.rerun(org.db, org.bo, first.id)
    assert [problem.pointer for problem in refused.value.problems] == ["/inputs/n"]
    same = await instances.rerun(org.db, org.bo, first.id, same_version=True)
    assert (same.workflow_version, same.rerun_of) == (1, first.id)


async def test_all_that_keeps_it_from_starting_is_said_at_once(org: Any, save_script: Any) -> None:
    await save_script()
    step = {"id": "check", "type": "script", "script": "gone"}
    await org.publish_unproved([step], inputs=[{"name": "n", "type": "integer"}])
    with pytest.raises(Invalid, match="4 things are wrong") as refused:
        await instances.start(org.db, org.ana, "deploy", ["nowhere", "tag:none"], {"n": "many"})
    pointers = [problem.pointer for problem in refused.value.problems]
    assert pointers == ["/inputs/n", "/hosts/0", "/hosts/1", "/steps"]
