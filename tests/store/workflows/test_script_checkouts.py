"""A script that runs as an identity: one checkout for its jobs, which wait for it and by which it ends."""

import base64
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agent.protocol import EnrolRequest
from definitions.errors import Conflict, NotPermitted
from definitions.permissions import SYSTEM
from store import (
    agents,
    approvals,
    checkout_jobs,
    checkouts,
    claims,
    executions,
    job_checkouts,
    jobs,
    org_secrets,
    recurring_jobs,
)
from store.checkout_lists import show as show_checkout
from store.executions import Made
from store.job_views import JobView
from tests.store.jobs.conftest import FakeAgent
from tests.store.workflows.conftest import person
from tests.store.workflows.test_vaults_and_identities import save_identity, save_vault

APPROVAL = {"requires_approval": True, "approval": {"approvers": ["user:bo"]}}
TERMS = ("identity", "version", "username", "minutes")
SaveScript = Callable[..., Awaitable[int]]


@pytest.fixture
async def tidy(org: Any, save_script: SaveScript) -> None:
    """A script that runs as `db_admin`, whom anybody may use at once."""
    await save_vault(org)
    await save_identity(org)
    await save_script(run_as="db_admin")


@pytest.fixture
async def agent(org: Any) -> FakeAgent:
    """The agent of a third host, `web-3`."""
    secret = await org_secrets.create(org.db, SYSTEM, "tests", 1, timedelta(hours=1))
    key = base64.b64encode(os.urandom(32)).decode()
    asked = EnrolRequest(
        org_secret=secret.secret, hostname="web-3", os="linux", public_key=key, version="0.1.0"
    )
    reply = await agents.enrol(org.db, asked)
    return FakeAgent(org.db, await agents.authenticate(org.db, reply.token), reply.token)


async def run(org: Any, *hosts: str, **more: Any) -> Made:
    return await executions.execute(org.db, org.ana, "disk-check", hosts or ("web-1",), {}, **more)


async def look(org: Any, made: Made) -> JobView:
    return await jobs.show(org.db, org.ana, made.jobs[0])


async def status(org: Any, checkout_id: int | None) -> str:
    return str(await org.db.fetchval("SELECT status FROM checkouts WHERE id = $1", checkout_id))


async def go(org: Any, job_id: int, *statuses: str) -> None:
    """What its agent would say of a job; how it gets the credential is not shown here."""
    for status in statuses:
        await org.db.execute("UPDATE jobs SET status = $2 WHERE id = $1", job_id, status)


async def keep_up(org: Any) -> None:
    """What the keeper does every second."""
    await job_checkouts.end_unused(org.db)
    await checkouts.tell(org.db)
    await checkout_jobs.end_without(org.db)
    await job_checkouts.withdraw_moot(org.db)


async def request_of(org: Any, job: JobView) -> Any:
    number = await org.db.fetchval("SELECT id FROM approval_requests WHERE checkout_id = $1", job.checkout_id)
    return await approvals.show(org.db, org.bo, number)


async def decide(org: Any, job: JobView, decision: Any) -> None:
    request = await request_of(org, job)
    await approvals.vote(org.db, org.bo, request.id, decision, "", request.digest)


async def test_one_checkout_is_made_for_all_its_jobs_and_ends_with_the_last(org: Any, tidy: None) -> None:
    made = await run(org, "web-1", "web-2", reason="Ticket 7.")
    first, second = [await jobs.show(org.db, org.ana, job) for job in made.jobs]
    assert (first.run_as, first.checkout_id) == ("db_admin", second.checkout_id)
    assert first.checkout_id is not None
    view = await show_checkout(org.db, SYSTEM, first.checkout_id)
    assert (view.status, view.person, view.reason, view.instance_id) == ("active", "ana", "Ticket 7.", None)
    assert (view.jobs, view.execution_id) == (made.jobs, made.id)
    await jobs.cancel(org.db, org.ana, first.id)
    await keep_up(org)
    assert await status(org, first.checkout_id) == "active"
    await jobs.cancel(org.db, org.ana, second.id)
    await keep_up(org)
    ended = await show_checkout(org.db, SYSTEM, first.checkout_id)
    assert (ended.status, ended.end_reason) == ("ended", "Its jobs have ended.")


async def test_its_jobs_are_for_nobody_until_somebody_else_has_said_yes(
    org: Any, tidy: None, agent: FakeAgent
) -> None:
    await save_identity(org, **APPROVAL)
    made = await run(org, "web-3")
    job = await look(org, made)
    assert job.waits == "Waits for the approval 'Run disk-check as db_admin', as long as that is open."
    assert (await agent.poll()).jobs == []
    request = await request_of(org, job)
    with pytest.raises(NotPermitted, match="You started this"):
        await approvals.vote(org.db, org.ana, request.id, "approve", "", request.digest)
    assert await claims.hosts_with_work(org.db, [agent.actor.id]) == []
    await decide(org, job, "approve")
    assert await claims.hosts_with_work(org.db, [agent.actor.id]) == [agent.actor.host_id]


async def test_the_request_says_what_will_run_where_as_whom_and_why(org: Any, tidy: None) -> None:
    await save_identity(org, **APPROVAL)
    request = await request_of(org, await look(org, await run(org, reason="Ticket 7.")))
    assert (request.kind, request.identity, request.started_by_name) == ("pam", "db_admin", "ana")
    assert request.frozen["hosts"] == ["web-1"]
    terms = ("db_admin", 2, "app", 60)
    assert tuple(request.frozen["checkout"][name] for name in TERMS) == terms
    assert request.frozen["parameters"] == {"threshold": 90}
    assert request.description == request.frozen["reason"] == "Ticket 7."
    (step,) = request.plan.steps
    assert (step.content, step.hosts, step.script.version) == ("df -h", ("web-1",), 1)
    assert {name: pieces[0].text for name, pieces in step.values.items()} == {
        "threshold": "90",
        "run as": "db_admin",
    }
    started = await approvals.listing(org.db, org.ana, started=True)
    assert [row.id for row in started.items] == [request.id]
    blind = replace(org.vi, permissions=frozenset({"workflows.view"}))
    hidden = await approvals.show(org.db, blind, request.id)
    assert hidden.plan.steps[0].content is None
    assert "lacks the permission scripts.view" in str(hidden.plan.steps[0].content_hidden)


async def test_an_approval_that_takes_long_does_not_fail_them_but_thirty_idle_minutes_after_it_do(
    org: Any, tidy: None
) -> None:
    await save_identity(org, **APPROVAL)
    made = await run(org)
    job = await look(org, made)
    await org.db.execute("UPDATE jobs SET scheduled_at = now() - interval '5 hours'")
    assert await jobs.fail_stale(org.db) == 0
    await decide(org, job, "approve")
    assert await jobs.fail_stale(org.db) == 0
    assert "fails in 30 min" in str((await look(org, made)).waits)
    await org.db.execute("UPDATE checkouts SET active_at = now() - interval '31 minutes'")
    assert await jobs.fail_stale(org.db) == 1
    assert (await look(org, made)).reason == "Agent did not pick up job"


async def test_a_refusal_and_a_missed_deadline_fail_them_in_words(org: Any, tidy: None) -> None:
    await save_identity(org, **APPROVAL)
    refused, late = await run(org), await run(org)
    await decide(org, await look(org, refused), "reject")
    await org.db.execute("UPDATE approval_requests SET deadline = now() WHERE status = 'pending'")
    await approvals.expire_due(org.db)
    assert "it fails in a moment" in str((await look(org, refused)).waits)
    await keep_up(org)
    for made, why in ((refused, "By bo."), (late, "Nobody decided before the deadline")):
        job = await look(org, made)
        assert job.status == "failed"
        assert job.reason.startswith("It may not run as `db_admin`: ")
        assert why in job.reason
        assert await status(org, job.checkout_id) == "denied"


async def test_cancelled_while_it_waits_nobody_has_to_decide_any_more(org: Any, tidy: None) -> None:
    await save_identity(org, **APPROVAL)
    made = await run(org)
    await jobs.cancel(org.db, org.ana, made.jobs[0])
    await keep_up(org)
    request = await request_of(org, await look(org, made))
    assert (request.status, await status(org, request.checkout_id)) == ("withdrawn", "ended")


async def test_a_job_says_that_the_credential_it_waits_for_is_being_replaced(org: Any, tidy: None) -> None:
    await save_identity(org, rotate_after_use=True)
    first, second = await run(org), await run(org)
    one = await look(org, first)

    async def end(made: Made) -> None:
        await jobs.cancel(org.db, org.ana, made.jobs[0])
        await keep_up(org)

    await end(second)
    third = await run(org)
    said = f"Waits for its turn with db_admin, which checkout {one.checkout_id} has now; "
    assert (await look(org, third)).waits == said + "it begins when that is free and has a new credential."
    await end(first)
    said = "Waits for db_admin, whose credential is being replaced; it begins when that is done."
    assert (await look(org, third)).waits == said


async def test_an_exclusive_identity_is_waited_for_in_turn(org: Any, tidy: None) -> None:
    await save_identity(org, exclusive=True)
    first, second = await run(org), await run(org)
    one, two = await look(org, first), await look(org, second)
    assert f"turn with db_admin, which checkout {one.checkout_id} has now" in str(two.waits)
    await jobs.cancel(org.db, org.ana, one.id)
    await keep_up(org)
    assert await status(org, two.checkout_id) == "active"


async def test_a_checkout_that_a_person_or_its_time_ends_fails_what_has_not_begun(
    org: Any, tidy: None
) -> None:
    by_hand, in_time = await run(org), await run(org)
    ended = await look(org, by_hand)
    assert ended.checkout_id is not None
    await checkouts.end_by_hand(org.db, SYSTEM, ended.checkout_id)
    await org.db.execute("UPDATE checkouts SET deadline = now() WHERE status = 'active'")
    await checkouts.end_overdue(org.db)
    await keep_up(org)
    for made, why in ((by_hand, "Ended by opsgate."), (in_time, "Its time is over.")):
        job = await look(org, made)
        reason = f"Nothing runs as `db_admin` any more, its checkout has ended: {why}"
        assert (job.status, job.reason) == ("failed", reason)


async def test_what_runs_is_told_to_stop_when_its_checkout_ends(
    org: Any, tidy: None, agent: FakeAgent
) -> None:
    await agent.poll()
    made = await run(org, "web-3")
    await go(org, made.jobs[0], "pending", "running")
    await org.db.execute("UPDATE jobs SET agent_id = $1", agent.actor.id)
    checkout = (await look(org, made)).checkout_id
    assert checkout is not None
    await checkouts.end_by_hand(org.db, SYSTEM, checkout)
    await keep_up(org)
    assert [each.job_id for each in (await agent.poll(again=True)).cancel] == made.jobs


async def test_whoever_it_is_not_for_makes_nothing(org: Any, tidy: None) -> None:
    await save_identity(org, used_by=["user:bo"])
    with pytest.raises(NotPermitted, match="is for user:bo"):
        await run(org)
    await save_identity(org, requires_approval=True, approval={"approvers": ["user:ana"]})
    with pytest.raises(Conflict, match="Nobody could decide at the checkout of 'db_admin'"):
        await run(org)
    made = "SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM checkouts) + count(*) FROM executions"
    assert await org.db.fetchval(made) == 0


async def test_running_it_again_is_a_new_checkout(org: Any, tidy: None) -> None:
    made = await run(org)
    await go(org, made.jobs[0], "pending", "running", "failed")
    await keep_up(org)
    first = (await look(org, made)).checkout_id
    again = await executions.rerun(org.db, org.ana, made.id)
    second = (await look(org, again)).checkout_id
    retried = (await jobs.retry(org.db, org.ana, made.jobs[0])).checkout_id
    assert len({first, second, retried}) == 3
    assert [await status(org, each) for each in (first, second, retried)] == ["ended", "active", "active"]
    reasons = await org.db.fetch("SELECT reason FROM checkouts ORDER BY id")
    assert [row["reason"] for row in reasons] == [
        "The script disk-check, version 1.",
        f"Execution {made.id}, disk-check again.",
        f"Attempt 2 of job {made.jobs[0]}, the script disk-check.",
    ]


async def test_who_gave_the_parameters_does_not_decide_when_somebody_else_runs_it_again(
    org: Any, tidy: None
) -> None:
    ed, flo = [await person(org.db, name, "operator", "approver") for name in ("ed", "flo")]
    made = await run(org)
    await save_identity(org, **{**APPROVAL, "approval": {"approvers": ["role:approver"]}})

    async def asked(job: JobView) -> list[str]:
        return sorted(each.name for each in (await request_of(org, job)).eligible)

    for actor, others in ((ed, ["bo", "cy", "di", "flo"]), (flo, ["bo", "cy", "di"])):
        await go(org, made.jobs[0], "pending", "running", "failed")
        assert await asked(await jobs.retry(org.db, actor, made.jobs[0])) == others
    await go(org, made.jobs[0], "failed")
    again = await executions.rerun(org.db, flo, made.id)
    assert await asked(await look(org, again)) == ["bo", "cy", "di", "ed"]
    await go(org, again.jobs[0], "failed")
    assert await asked(await look(org, await executions.rerun(org.db, ed, again.id))) == ["bo", "cy", "di"]


async def test_what_is_asked_when_somebody_else_runs_it_again_says_who_did_what(org: Any, tidy: None) -> None:
    ed = await person(org.db, "ed", "operator", "approver")
    made = await run(org)
    await save_identity(org, **APPROVAL)
    await go(org, made.jobs[0], "pending", "running", "failed")
    job = await jobs.retry(org.db, ed, made.jobs[0])
    request = await request_of(org, job)
    assert [(hand.name, hand.did) for hand in request.set_going] == [("ana", "started"), ("ed", "repeated")]
    assert request.started_by_name == request.frozen["started_by"] == "ana"
    for actor, did in ((org.ana, "started"), (ed, "repeated")):
        with pytest.raises(NotPermitted, match=f"You {did} this, and somebody else has to decide on it"):
            await approvals.vote(org.db, actor, request.id, "approve", "", request.digest)
        assert [row.id for row in (await approvals.listing(org.db, actor, started=True)).items] == [
            request.id
        ]


async def test_a_tick_checks_out_for_the_owner_and_is_left_out_when_it_may_not(org: Any, tidy: None) -> None:
    job = {"type": "script", "hosts": ["web-1"], "payload": {"script": "disk-check"}}
    await recurring_jobs.save(org.db, org.ana, {"name": "nightly", "cron": "0 2 * * *", "job": job})
    await recurring_jobs.run(org.db, org.ana, "nightly")
    row = await org.db.fetchrow("SELECT for_id, reason FROM checkouts")
    assert tuple(row.values()) == (org.ana.id, "A tick of the recurring job nightly.")
    await save_identity(org, used_by=["user:bo"])
    with pytest.raises(NotPermitted, match="is for user:bo"):
        await recurring_jobs.run(org.db, org.ana, "nightly")
    assert await org.db.fetchval("SELECT count(*) FROM checkouts") == 1
