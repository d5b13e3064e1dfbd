"""Claiming: what an agent is given, and what becomes of replies and processes that get lost."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from definitions.errors import Conflict, NotPermitted
from store import hosts, jobs
from tests.live.facts import blocked


async def status_of(db, job_id):
    return await db.fetchval("SELECT status FROM jobs WHERE id = $1", job_id)


async def test_an_agent_gets_the_jobs_of_its_own_host_only(web1, enrolled, queued):
    web2 = await enrolled("web-2")
    mine = await queued("web-1")
    await queued("web-2")
    assert [job.job_id for job in (await web1.poll(slots=10)).jobs] == [mine]
    assert [job.attempt for job in (await web2.poll(slots=10)).jobs] == [1]


async def test_jobs_come_by_priority_then_scheduled_time(db, web1, queued):
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    late = await queued(scheduled_at=tomorrow + timedelta(minutes=9))
    early = await queued(scheduled_at=tomorrow + timedelta(minutes=8))
    low = await queued(priority=3, scheduled_at=tomorrow)
    critical = await queued(priority=0)
    await db.execute("UPDATE jobs SET scheduled_at = scheduled_at - interval '2 days'")
    assert [job.job_id for job in (await web1.poll(slots=10)).jobs] == [critical, early, late, low]


async def test_no_more_jobs_than_free_slots(web1, queued):
    ids = [await queued() for _ in range(3)]
    assert [job.job_id for job in (await web1.poll(slots=2)).jobs] == ids[:2]


async def test_an_agent_without_a_free_slot_gets_none(web1, queued):
    await queued()
    assert (await web1.poll(slots=0)).jobs == []


async def test_a_job_of_tomorrow_is_not_claimed_today(web1, queued):
    await queued(scheduled_at=datetime.now(UTC) + timedelta(days=1))
    assert (await web1.poll()).jobs == []


async def test_eight_claimers_of_one_host_claim_every_job_once(db, web1, admin):
    await jobs.dispatch(db, admin, "command", ["web-1"], {"command": "true"})
    await db.execute(
        """INSERT INTO jobs (type, priority, host_id, payload, timeout_seconds, created_by_name)
           SELECT type, priority, host_id, payload, timeout_seconds, 'ann'
           FROM jobs, generate_series(1, 499)"""
    )
    await db.execute("CREATE TABLE claim_log (job_id bigint)")
    await db.execute(
        """CREATE FUNCTION log_claim() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN INSERT INTO claim_log VALUES (NEW.id); RETURN NULL; END $$"""
    )
    await db.execute(
        """CREATE TRIGGER log_claim AFTER UPDATE ON jobs FOR EACH ROW
           WHEN (NEW.status = 'pending') EXECUTE FUNCTION log_claim()"""
    )
    delivered: set[int] = set()
    await web1.poll(slots=0)

    async def claimer(number: int) -> None:
        while True:
            holding = [(job, 1) for job in delivered]
            # Looking again takes no lock on the agent: the claims themselves run side by side.
            reply = await web1.poll(
                slots=7, holding=holding, request_id=f"{number}-{len(holding)}", again=number > 0
            )
            if not reply.jobs:
                return
            delivered.update(job.job_id for job in reply.jobs)

    async with asyncio.timeout(60):
        await asyncio.gather(*(claimer(number) for number in range(8)))
    claims_made = [row["job_id"] for row in await db.fetch("SELECT job_id FROM claim_log")]
    assert len(claims_made) == len(set(claims_made)) == 500
    assert delivered == set(claims_made)


async def test_two_agents_never_claim_the_same_row(db, enrolled, queued):
    agents_ = [await enrolled(f"h{n}") for n in range(8)]
    for n in range(8):
        for _ in range(10):
            await queued(f"h{n}")
    replies = await asyncio.gather(*(agent.poll(slots=10) for agent in agents_))
    ids = [job.job_id for reply in replies for job in reply.jobs]
    assert len(ids) == len(set(ids)) == 80


async def test_the_same_request_again_gets_the_same_jobs(web1, queued):
    await queued()
    await queued()
    first = await web1.poll(slots=1, request_id="r")
    again = await web1.poll(slots=1, request_id="r")
    assert [job.job_id for job in again.jobs] == [job.job_id for job in first.jobs]


async def test_a_request_repeated_while_it_is_answered_gets_the_same_jobs(db, web1, queued):
    await web1.poll()
    await queued()
    await queued()
    async with db.transaction() as tx:  # both are past their look, and meet where jobs are handed over
        await tx.execute("SELECT id FROM agents FOR UPDATE")
        polls = [asyncio.create_task(web1.poll(request_id="r", again=True)) for _ in range(2)]
        await blocked(db, *polls)
    first, repeated = await asyncio.gather(*polls)
    assert [job.job_id for job in first.jobs] == [job.job_id for job in repeated.jobs]
    assert await db.fetchval("SELECT count(*) FROM jobs WHERE status = 'pending'") == 1


async def test_nothing_is_claimed_by_an_agent_while_it_is_decommissioned(db, web1, queued):
    await web1.poll()
    job_id = await queued()
    async with db.transaction() as tx:
        await tx.execute("UPDATE agents SET revoked_at = now()")
        polling = asyncio.create_task(web1.poll(again=True))
        await blocked(db, polling)
    assert (await polling).jobs == []
    assert await status_of(db, job_id) == "queued"


async def test_a_job_whose_delivery_was_lost_is_delivered_again(web1, queued):
    job_id = await queued()
    await web1.poll()
    assert [job.job_id for job in (await web1.poll()).jobs] == [job_id]


async def test_a_job_the_agent_holds_is_not_delivered_again(web1, queued):
    job_id = await queued()
    await web1.poll()
    assert (await web1.poll(holding=[(job_id, 1)])).jobs == []


async def test_a_new_process_gets_back_what_the_old_one_never_started(db, web1, queued):
    job_id = await queued()
    await web1.poll()
    web1.boot_id = "boot-2"
    reply = await web1.poll()
    assert [(job.job_id, job.attempt) for job in reply.jobs] == [(job_id, 1)]


async def test_what_the_lost_process_had_started_has_failed_as_interrupted(db, web1, queued):
    job_id = await queued()
    await web1.poll()
    await web1.start(job_id)
    web1.boot_id = "boot-2"
    assert (await web1.poll()).jobs == []
    row = await db.fetchrow("SELECT status, outcome, reason FROM jobs WHERE id = $1", job_id)
    assert tuple(row) == ("failed", "interrupted", "The agent restarted while it ran.")


async def test_a_new_process_that_still_holds_a_started_job_keeps_it(db, web1, queued):
    job_id = await queued()
    await web1.poll()
    await web1.start(job_id)
    web1.boot_id = "boot-2"
    reply = await web1.poll(holding=[(job_id, 1)])
    assert (reply.jobs, reply.forget) == ([], [])
    assert await status_of(db, job_id) == "running"
    assert (await web1.complete(job_id)).accepted


async def test_a_late_poll_of_the_process_before_is_refused(web1, queued):
    await web1.poll()
    web1.boot_id = "boot-2"
    await web1.poll()
    web1.boot_id = "boot-1"
    with pytest.raises(Conflict, match="newer process"):
        await web1.poll()


async def test_a_held_open_poll_of_the_process_before_claims_nothing_more(web1, queued):
    await web1.poll()
    web1.boot_id = "boot-2"
    await web1.poll()
    await queued()
    web1.boot_id = "boot-1"
    assert (await web1.poll(again=True)).jobs == []


async def test_an_agent_forgets_what_has_ended_here(web1, queued):
    job_id = await queued()
    await web1.run(job_id)
    assert [ref.job_id for ref in (await web1.poll(holding=[(job_id, 1)])).forget] == [job_id]


async def test_an_agent_forgets_an_attempt_that_is_not_the_current_one(db, web1, queued, admin):
    job_id = await queued()
    await web1.run(job_id, exit_code=1)
    await jobs.retry(db, admin, job_id)
    reply = await web1.poll(holding=[(job_id, 1)])
    assert [(ref.job_id, ref.attempt) for ref in reply.forget] == [(job_id, 1)]
    assert [(job.job_id, job.attempt) for job in reply.jobs] == [(job_id, 2)]


async def test_an_agent_forgets_a_job_of_another_agent(web1, enrolled, queued):
    web2 = await enrolled("web-2")
    job_id = await queued("web-1")
    await web1.poll()
    assert [ref.job_id for ref in (await web2.poll(holding=[(job_id, 1)])).forget] == [job_id]


async def test_a_running_job_that_is_cancelled_is_told_to_the_agent(db, web1, queued, admin):
    job_id = await queued()
    await web1.poll()
    await web1.start(job_id)
    await jobs.cancel(db, admin, job_id)
    reply = await web1.poll(holding=[(job_id, 1)])
    assert [ref.job_id for ref in reply.cancel] == [job_id]
    # Told once in a while, or an agent that needs a second to kill would be answered without pause.
    assert (await web1.poll(holding=[(job_id, 1)])).cancel == []
    await db.execute("UPDATE jobs SET cancel_told_at = now() - interval '3 seconds' WHERE id = $1", job_id)
    assert [ref.job_id for ref in (await web1.poll(holding=[(job_id, 1)])).cancel] == [job_id]


async def test_a_poll_is_the_heartbeat(db, web1, admin):
    assert not (await hosts.show(db, admin, "web-1")).online
    await web1.poll()
    assert (await hosts.show(db, admin, "web-1")).online


async def test_looking_again_is_no_heartbeat(db, web1):
    await web1.poll()
    await db.execute("UPDATE agents SET last_seen_at = now() - interval '1 hour'")
    await web1.poll(again=True)
    assert await db.fetchval("SELECT last_seen_at < now() - interval '59 minutes' FROM agents")


async def test_a_decommissioned_agent_that_is_polling_is_refused(db, web1, admin):
    await hosts.decommission(db, admin, "web-1")
    with pytest.raises(NotPermitted, match="decommissioned"):
        await web1.poll(again=True)


async def test_a_job_behind_an_undecided_gate_is_not_claimed(db, web1, instance, step_job):
    job_id = await step_job(await instance(gated=True))
    assert (await web1.poll()).jobs == []
    await db.execute("UPDATE approval_requests SET status = 'approved'")
    assert [job.job_id for job in (await web1.poll()).jobs] == [job_id]


@pytest.mark.parametrize(
    ("gate", "job", "held"),
    [
        ("", "p.0/", True),
        ("p.0/", "p.0/", True),
        ("p.0/", "p.0/q.1/", True),
        ("p.0/", "p.1/", False),
        ("p.1/", "p.10/", False),
        ("p.0/q.1/", "p.0/", False),
    ],
)
async def test_an_undecided_gate_holds_back_its_own_branch_and_what_lies_within(
    db, web1, instance, step_job, gate, job, held
):
    await step_job(await instance(gated=True))
    await db.execute("UPDATE approval_requests SET branch = $1", gate)
    await db.execute("UPDATE jobs SET branch = $1", job)
    assert ((await web1.poll()).jobs == []) == held


@pytest.mark.parametrize(
    "change",
    ["cancel_requested_at = now()", "status = 'failed', ended_at = now()"],
    ids=["being cancelled", "ended"],
)
async def test_a_job_of_an_instance_that_is_over_is_not_claimed(db, web1, instance, step_job, change):
    instance_id = await instance()
    await step_job(instance_id)
    await db.execute(f"UPDATE instances SET {change} WHERE id = $1", instance_id)
    assert (await web1.poll()).jobs == []
