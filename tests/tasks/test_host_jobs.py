"""A step on several hosts: waves, further attempts, deadlines, on real rows and with agents that report."""

import asyncio

import pytest

from definitions import variables
from definitions.errors import Invalid
from definitions.permissions import Actor
from store import hosts, instances, jobs
from store.engine import commits, leases
from tasks import command, host_jobs
from tasks.step_run import Settled, Waiting
from tests.tasks.conftest import MakeBench


async def test_without_max_parallel_every_host_gets_its_job_at_once(bench: MakeBench) -> None:
    step = await bench()
    assert isinstance(await step.begin(), Waiting)
    assert list(await step.jobs()) == ["web-1", "web-2", "web-3"]


async def test_the_next_host_begins_when_one_of_the_wave_has_ended(bench: MakeBench) -> None:
    step = await bench(max_parallel=2)
    waiting = await step.begin()
    assert isinstance(waiting, Waiting)
    assert waiting.sentence == "Waits for 2 of 2 jobs to end. 1 of 3 hosts begin later."
    assert list(await step.jobs()) == ["web-1", "web-2"]
    await step.does("web-2")
    assert isinstance(await step.settle(), Waiting)
    assert list(await step.jobs()) == ["web-1", "web-2", "web-3"]
    await step.does("web-1")
    await step.does("web-3")
    settled = await step.settle()
    assert isinstance(settled, Settled)
    assert (settled.status, settled.reason) == ("completed", "")


async def test_a_failed_wave_stops_the_step_and_says_which_hosts_never_began(bench: MakeBench) -> None:
    step = await bench(max_parallel=1, max_failures=1)
    await step.begin()
    await step.does("web-1", exit_code=3)
    settled = await step.settle()
    assert isinstance(settled, Settled)
    assert settled.status == "failed"
    assert settled.reason == (
        "1 of 3 hosts failed, and that stops the step (`max_failures`). "
        "On web-1: exit code 3. Not started on web-2, web-3."
    )
    assert list(await step.jobs()) == ["web-1"]
    assert settled.facts is not None
    assert [(host.host, host.exit_code) for host in settled.facts.hosts] == [
        ("web-1", 3),
        ("web-2", None),
        ("web-3", None),
    ]


async def test_the_cause_is_told_and_not_what_the_step_stopped_for_it(bench: MakeBench) -> None:
    step = await bench(max_failures=1, retries=1, retry_delay_seconds=60)
    await step.begin()
    await step.does("web-1", exit_code=1)
    await step.settle()
    await step.pass_time(seconds=60)
    await step.does("web-2", exit_code=2)
    await step.settle()
    await step.does("web-3")
    await step.does("web-1", exit_code=1, attempt=2)
    settled = await step.settle()
    assert isinstance(settled, Settled)
    assert (await step.jobs())["web-2"] == ("cancelled", 2)
    assert settled.reason == (
        "1 of 3 hosts failed, and that stops the step (`max_failures`). On web-1: exit code 1."
    )


async def test_failures_that_are_not_counted_let_every_host_have_its_turn(bench: MakeBench) -> None:
    step = await bench(max_parallel=1)
    await step.begin()
    for host, code in (("web-1", 3), ("web-2", 0), ("web-3", 4)):
        await step.does(host, exit_code=code)
        settled = await step.settle()
    assert isinstance(settled, Settled)
    assert settled.reason == "On web-1: exit code 3 (and 1 more of 3 jobs)."


async def test_the_hosts_are_those_meant_when_the_step_began(bench: MakeBench) -> None:
    step = await bench(hosts=["tag:web"], max_parallel=1)
    db = step.run.db
    await db.execute("UPDATE hosts SET tags = '{web}' WHERE name <> 'web-3'")
    await step.begin()
    await db.execute("UPDATE hosts SET tags = CASE name WHEN 'web-3' THEN '{web}'::text[] ELSE '{}' END")
    await step.does("web-1")
    await step.settle()
    assert list(await step.jobs()) == ["web-1", "web-2"]


@pytest.mark.parametrize("changed", [False, True])
async def test_a_tag_that_means_other_hosts_than_were_approved_fails_the_step(
    bench: MakeBench, changed: bool
) -> None:
    step = await bench(hosts=["tag:web"])
    db = step.run.db
    await db.execute("UPDATE hosts SET tags = '{web}' WHERE name <> 'web-3'")
    approval = await db.fetchval(
        """INSERT INTO approval_requests (instance_id, step_id, visit, title, approval_type, quorum, eligible,
               frozen, digest, status)
           VALUES ($1, 'gate', 1, 'Go?', 'one_of_many', 1, '{1}', $2, '', 'approved') RETURNING id""",
        step.run.situation.instance_id,
        {"ahead": [{"step": "a", "hosts": ["web-1", "web-2"]}]},
    )
    if changed:
        await db.execute("UPDATE hosts SET tags = '{web}' WHERE name = 'web-3'")
    begun = await step.begin()
    assert (begun.reason if isinstance(begun, Settled) else "") == (
        f"The hosts of tag:web have changed since it was approved (approval {approval}): +web-3."
        if changed
        else ""
    )
    assert list(await step.jobs()) == ([] if changed else ["web-1", "web-2"])


async def test_a_host_that_is_decommissioned_before_its_turn_fails_the_step(
    bench: MakeBench, admin: Actor
) -> None:
    step = await bench(max_parallel=1)
    await step.begin()
    await hosts.decommission(step.run.db, admin, "web-2")
    await step.does("web-1")
    assert isinstance(await step.settle(), Waiting)
    await step.does("web-3")
    settled = await step.settle()
    assert isinstance(settled, Settled)
    assert settled.reason == "Not started on web-2, decommissioned before its turn."


async def test_of_the_instances_hosts_those_decommissioned_before_the_step_are_named(
    bench: MakeBench, admin: Actor
) -> None:
    step = await bench(hosts=[])
    db = step.run.db
    step.run.situation.host_ids += await db.fetchval("SELECT array_agg(id ORDER BY name) FROM hosts")
    await hosts.decommission(db, admin, "web-2")
    assert isinstance(await step.begin(), Waiting)
    await step.does("web-1")
    await step.does("web-3")
    settled = await step.settle()
    assert isinstance(settled, Settled)
    assert settled.reason == "Not started on web-2, decommissioned before its turn."


async def test_a_step_that_has_no_host_left_fails_at_once(bench: MakeBench, admin: Actor) -> None:
    step = await bench(hosts=[])
    step.run.situation.host_ids += await step.run.db.fetchval("SELECT array_agg(id) FROM hosts")
    for name in list(step.agents):
        await hosts.decommission(step.run.db, admin, name)
    settled = await step.begin()
    assert isinstance(settled, Settled), "nothing would ever wake it"
    assert settled.reason.endswith("decommissioned before its turn.")


async def test_a_wave_that_can_not_be_made_fails_the_step_and_stops_what_it_left(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = await bench(max_parallel=2)
    await step.begin()
    await step.does("web-1")

    def unfit(*_: object) -> None:
        raise Invalid("Its value does not fit this shell.")

    monkeypatch.setattr(command, "command_payload", unfit)
    settled = await step.settle()
    assert isinstance(settled, Settled)
    assert (settled.status, settled.reason) == ("failed", "Its value does not fit this shell.")
    assert settled.facts is not None
    assert [host.exit_code for host in settled.facts.hosts] == [0, None, None]
    await step.close(settled)
    assert await step.jobs() == {"web-1": ("completed", 1), "web-2": ("cancelled", 1)}


async def test_what_was_bound_when_the_step_began_and_is_not_any_more_fails_it_in_words(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = await bench(max_parallel=1)
    await step.begin()
    await step.does("web-1")

    def unfit(*_: object) -> None:
        raise Invalid("It can't be bound.")

    monkeypatch.setattr(variables, "bind_command", unfit)
    settled = await step.settle()
    assert isinstance(settled, Settled)
    assert settled.reason == "It can't be bound."


async def test_a_job_retried_while_its_step_closes_does_not_run_beside_what_comes_next(
    bench: MakeBench, admin: Actor
) -> None:
    step = await bench(hosts=["web-1"])
    await step.begin()
    await step.does("web-1", exit_code=1)
    settled = await step.settle()
    assert isinstance(settled, Settled)
    await jobs.retry(step.run.db, admin, await step.job_id("web-1"))
    await step.close(settled)
    assert await step.jobs() == {"web-1": ("cancelled", 2)}
    assert await step.run.db.fetchval("SELECT reason FROM jobs") == "Step a is over: failed."
    assert (await step.agents["web-1"].poll()).jobs == []


async def test_a_step_that_lost_its_hosts_does_not_pass_for_done(bench: MakeBench) -> None:
    step = await bench()
    await step.begin()
    await step.run.db.execute("UPDATE step_results SET host_ids = '{}'")
    with pytest.raises(RuntimeError, match="has no hosts"):
        await step.settle()


async def test_looking_again_makes_no_job_twice(bench: MakeBench) -> None:
    step = await bench(max_parallel=2, retries=1)
    await step.begin()
    await step.does("web-1", exit_code=1)
    await asyncio.gather(*(step.settle() for _ in range(4)))
    assert await step.jobs() == {"web-1": ("queued", 2), "web-2": ("queued", 1)}
    assert await step.run.db.fetchval("SELECT count(*) FROM job_attempts") == 1


async def test_only_the_hosts_that_failed_try_again_after_pauses_that_grow(bench: MakeBench) -> None:
    step = await bench(retries=2, retry_delay_seconds=60, retry_backoff=10)
    await step.begin()
    await step.does("web-1")
    await step.does("web-2", exit_code=1)
    await step.does("web-3")
    waiting = await step.settle()
    assert isinstance(waiting, Waiting)
    assert waiting.cold, "a worker would hold it in memory for a minute"
    assert "The next attempt begins at " in waiting.sentence
    assert await step.jobs() == {"web-1": ("completed", 1), "web-2": ("queued", 2), "web-3": ("completed", 1)}
    assert (await step.agents["web-2"].poll()).jobs == [], "it is not due yet"
    await step.pass_time(seconds=60)
    await step.does("web-2", exit_code=1, attempt=2)
    await step.settle()
    left = await step.run.db.fetchval(
        "SELECT extract(epoch FROM scheduled_at - now()) FROM jobs WHERE attempt = 3"
    )
    assert 500 < left <= 600
    await step.pass_time(seconds=600)
    await step.does("web-2", attempt=3)
    settled = await step.settle()
    assert isinstance(settled, Settled)
    assert settled.status == "completed"


async def test_a_step_whose_attempts_are_used_up_fails(bench: MakeBench) -> None:
    step = await bench(hosts=["web-1"], retries=1)
    await step.begin()
    await step.does("web-1", exit_code=1)
    assert isinstance(await step.settle(), Waiting)
    await step.does("web-1", exit_code=2, attempt=2)
    settled = await step.settle()
    assert isinstance(settled, Settled)
    assert settled.reason == "On web-1: exit code 2."


async def test_what_a_person_cancels_is_not_tried_again(bench: MakeBench, admin: Actor) -> None:
    step = await bench(hosts=["web-1"], retries=3)
    await step.begin()
    await jobs.cancel(step.run.db, admin, await step.job_id("web-1"))
    settled = await step.settle()
    assert isinstance(settled, Settled)
    assert settled.reason == "On web-1: Cancelled by ann."


async def test_at_its_deadline_a_steps_jobs_are_cancelled_and_it_fails_for_that_reason(
    bench: MakeBench,
) -> None:
    step = await bench(max_parallel=2, timeout_minutes=5, retries=3)
    waiting = await step.begin()
    assert isinstance(waiting, Waiting)
    assert waiting.wake_at is not None
    (job,) = (await step.agents["web-1"].poll()).jobs
    await step.agents["web-1"].start(job.job_id)
    await step.pass_time(minutes=5)
    waiting = await step.settle()
    assert isinstance(waiting, Waiting), "web-1 has not stopped yet"
    assert waiting.wake_at is None, "its deadline is over: it would be woken without end"
    assert await step.jobs() == {"web-1": ("running", 1), "web-2": ("cancelled", 1)}
    told = await step.agents["web-1"].poll(holding=[(job.job_id, 1)])
    assert [each.job_id for each in told.cancel] == [job.job_id]
    await step.agents["web-1"].complete(job.job_id, outcome="cancelled", exit_code=None)
    settled = await step.settle()
    assert isinstance(settled, Settled)
    assert settled.reason == "It was not over within 5 minutes. Not started on web-3."


async def test_a_worker_that_dies_at_a_deadline_loses_nothing(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = await bench(max_parallel=2, timeout_minutes=5)
    await step.begin()
    (job,) = (await step.agents["web-1"].poll()).jobs
    await step.agents["web-1"].start(job.job_id)
    await step.pass_time(minutes=5)

    class Killed(BaseException):
        pass

    def die(point: str) -> None:
        if point == "worker.deadline_passed":
            raise Killed

    monkeypatch.setattr(host_jobs, "failpoint", die)
    with pytest.raises(Killed):
        await step.settle()
    step = await step.taken_over()
    assert isinstance(await step.settle(), Waiting)
    assert await step.jobs() == {"web-1": ("running", 1), "web-2": ("cancelled", 1)}
    await step.agents["web-1"].complete(job.job_id, outcome="cancelled", exit_code=None)
    settled = await step.settle()
    assert isinstance(settled, Settled)
    assert settled.reason == "It was not over within 5 minutes. Not started on web-3."


async def test_what_was_done_in_time_counts_although_the_deadline_is_over_when_it_is_looked_at(
    bench: MakeBench,
) -> None:
    step = await bench(hosts=["web-1"], timeout_minutes=5)
    await step.begin()
    await step.does("web-1")
    await step.pass_time(minutes=6)
    settled = await step.settle()
    assert isinstance(settled, Settled)
    assert settled.status == "completed"


async def test_no_wave_begins_in_an_instance_that_is_being_cancelled(bench: MakeBench, admin: Actor) -> None:
    step = await bench(max_parallel=1)
    await step.begin()
    await step.does("web-1")
    await instances.cancel(step.run.db, admin, step.run.situation.instance_id)
    assert isinstance(await step.settle(), Waiting)
    assert list(await step.jobs()) == ["web-1"]


async def test_no_wave_begins_for_a_worker_that_was_replaced(bench: MakeBench) -> None:
    step = await bench(max_parallel=1)
    await step.begin()
    await step.does("web-1")
    await step.run.db.execute("UPDATE instances SET epoch = epoch + 1")
    with pytest.raises(leases.LeaseLost):
        await step.settle()
    assert list(await step.jobs()) == ["web-1"]


async def test_no_wave_begins_in_a_branch_that_was_given_up(bench: MakeBench) -> None:
    step = await bench(max_parallel=1)
    await step.begin()
    await step.does("web-1")
    await step.run.db.execute("UPDATE instances SET frontier = '[]'")
    with pytest.raises(commits.Dropped):
        await step.settle()
    assert list(await step.jobs()) == ["web-1"]


async def test_a_command_that_one_hosts_shell_refuses_begins_on_no_host(bench: MakeBench) -> None:
    step = await bench(command="cp {{instance.id}}.log /tmp", max_parallel=1)
    await step.run.db.execute("UPDATE hosts SET os = 'windows' WHERE name = 'web-3'")
    settled = await step.begin()
    assert isinstance(settled, Settled)
    assert (settled.status, "{{instance.id}} stands" in settled.reason) == ("failed", True)
    assert await step.jobs() == {}


@pytest.mark.parametrize(
    ("windows", "command"),
    [
        ("", 'echo "${OPSGATE_V1}"'),
        ("web-1 web-2 web-3", "echo $env:OPSGATE_V1"),
        ("web-2", {"bash": 'echo "${OPSGATE_V1}"', "powershell": "echo $env:OPSGATE_V1"}),
    ],
)
async def test_the_input_is_the_command_as_each_shell_gets_it(
    bench: MakeBench, windows: str, command: object
) -> None:
    step = await bench(command="echo {{instance.id}}")
    await step.run.db.execute("UPDATE hosts SET os = 'windows' WHERE name = ANY ($1)", windows.split())
    await step.begin()
    sent = await step.run.db.fetchval("SELECT input FROM step_results")
    number = str(step.run.situation.instance_id)
    assert sent == {"command": command, "environment": {"OPSGATE_V1": number}}


async def test_what_bash_alone_would_refuse_runs_on_windows(bench: MakeBench) -> None:
    step = await bench(command="eval {{instance.id}}", hosts=["web-1"])
    await step.run.db.execute("UPDATE hosts SET os = 'windows'")
    assert isinstance(await step.begin(), Waiting)
