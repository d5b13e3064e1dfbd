"""A job's credential is read at its claim, for an active checkout, sealed to its agent, and not kept."""

import asyncio
import os
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from agent.protocol import PollReply
from agent.sealed import CannotOpen
from definitions.permissions import SYSTEM, Actor
from store import checkouts, job_credentials, jobs, sealed_values
from store.connection import Database
from store.engine import commits, leases, workers
from store.job_credentials import NotRead
from store.sealing import SealingKeys
from tests.store.jobs.credentials.conftest import (
    PASSWORD,
    FakeVault,
    MakeCheckout,
    credential_in,
)
from tests.store.jobs.test_secrets import Host, enrol, everything


async def how_it_stands(db: Database, job_id: int) -> tuple[str, str]:
    row = await db.fetchrow("SELECT status, reason FROM jobs WHERE id = $1", job_id)
    assert row is not None
    return row["status"], row["reason"]


async def test_it_travels_sealed_to_that_agent_alone_and_rests_nowhere(
    db: Database, admin: Actor, host: Host, checkout: MakeCheckout, job_by: Any
) -> None:
    await job_by(await checkout(domain="example"))
    reply = await host.fake.poll()
    found = credential_in(host, reply.jobs[0])
    assert found is not None
    assert (found.identity, found.type, found.username) == ("deployer", "password", "deploy")
    assert (found.domain, found.secret, found.passphrase) == ("example", PASSWORD, None)
    assert "mArKeR" not in reply.model_dump_json()
    assert "mArKeR" not in repr(found)
    assert "mArKeR" not in await everything(db)
    with pytest.raises(CannotOpen):
        credential_in(await enrol(db, admin, "web-2"), reply.jobs[0])


async def test_every_reading_is_audited_with_who_why_and_for_what(
    db: Database, host: Host, checkout: MakeCheckout, job_by: Any
) -> None:
    number = await checkout()
    job_id = await job_by(number)
    await host.fake.poll()
    row = await db.fetchrow("SELECT * FROM audit WHERE action = 'credential.read'")
    assert row is not None
    assert (row["actor_kind"], row["actor_name"], row["subject_kind"]) == ("agent", "web-1", "identity")
    assert row["detail"] == {
        "identity": "deployer",
        "version": 1,
        "checkout": number,
        "asked_because": "the release",
        "person": "ann",
        "instance": None,
        "step": None,
        "host": "web-1",
        "job": job_id,
        "attempt": 1,
    }


async def test_after_a_lost_reply_it_is_read_and_sealed_anew(
    db: Database, host: Host, fake_vault: FakeVault, checkout: MakeCheckout, job_by: Any
) -> None:
    await job_by(await checkout())
    first, again = [await host.fake.poll(request_id="same") for _ in range(2)]
    assert first.jobs[0].sealed != again.jobs[0].sealed
    assert credential_in(host, first.jobs[0]) == credential_in(host, again.jobs[0])
    assert fake_vault.asked == ["main/deployer"] * 2
    assert await db.fetchval("SELECT count(*) FROM audit WHERE action = 'credential.read'") == 2


async def test_a_vault_that_is_away_costs_a_while_and_nothing_else(
    db: Database,
    host: Host,
    fake_vault: FakeVault,
    checkout: MakeCheckout,
    job_by: Any,
    queued: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_credentials, "PAUSES", (timedelta(0), timedelta(hours=1)))
    fake_vault.refusals = [NotRead("It is sealed."), NotRead("It is sealed.")]
    job_id = await job_by(await checkout())
    for _ in range(2):
        assert (await host.fake.poll()).jobs == []
        assert (await how_it_stands(db, job_id))[0] == "queued"
    assert (await host.fake.poll()).jobs == []
    assert len(fake_vault.asked) == 2  # the hour is not over
    other = await queued()
    await host.fake.run(other)
    await db.execute("UPDATE jobs SET claim_after = now()")
    waits = (await jobs.show(db, SYSTEM, job_id)).waits
    assert waits == "It is sealed; the vault is asked again for what the job runs by."
    (given,) = (await host.fake.poll()).jobs
    assert (given.job_id, given.attempt) == (job_id, 1)
    assert await how_it_stands(db, job_id) == ("pending", "")


@pytest.mark.parametrize(("may_pass", "tries"), [(True, 4), (False, 2)])
async def test_after_its_tries_the_job_fails_in_the_vaults_words_and_a_retry_begins_anew(
    db: Database,
    admin: Actor,
    host: Host,
    fake_vault: FakeVault,
    checkout: MakeCheckout,
    job_by: Any,
    monkeypatch: pytest.MonkeyPatch,
    may_pass: bool,
    tries: int,
) -> None:
    monkeypatch.setattr(job_credentials, "PAUSES", (timedelta(0),) * 3)
    fake_vault.refusals = [NotRead("It is sealed.", may_pass=may_pass) for _ in range(tries)]
    job_id = await job_by(await checkout())
    for _ in range(tries):
        assert (await how_it_stands(db, job_id))[0] == "queued"
        assert (await host.fake.poll()).jobs == []
    assert await how_it_stands(db, job_id) == ("failed", "It is sealed.")
    audited = await db.fetchval("SELECT detail ->> 'why' FROM audit WHERE action = 'credential.not_given'")
    assert audited == "It is sealed."
    await jobs.retry(db, admin, job_id)
    (given,) = (await host.fake.poll()).jobs
    assert (given.job_id, given.attempt) == (job_id, 2)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (
            "UPDATE checkouts SET status = 'ended', ended_at = now(), end_reason = 'Ended by bo.'",
            "Ended by bo.",
        ),
        ("UPDATE checkouts SET deadline = now()", "deployer is not checked out any more."),
        ("UPDATE jobs SET type = 'service_control'", "scripts and commands do"),
        ("UPDATE jobs SET payload = payload || '{\"requires_elevation\": true}'", "as another user"),
        ('UPDATE jobs SET payload = payload || \'{"run_as": "daemon"}\'', "as another user"),
    ],
)
async def test_without_a_checkout_that_is_good_for_it_the_job_fails_in_words_and_no_vault_is_asked(
    db: Database,
    host: Host,
    fake_vault: FakeVault,
    checkout: MakeCheckout,
    job_by: Any,
    changed: str,
    reason: str,
) -> None:
    job_id = await job_by(await checkout())
    await db.execute(changed)
    assert (await host.fake.poll()).jobs == []
    status, why = await how_it_stands(db, job_id)
    assert (status, reason in why) == ("failed", True), why
    assert fake_vault.asked == []


async def test_another_instances_checkout_is_not_for_this_job(
    db: Database, host: Host, checkout: MakeCheckout, job_by: Any, instance: Any
) -> None:
    job_id = await job_by(await checkout(instance=await instance()))
    assert (await host.fake.poll()).jobs == []
    assert "that of another instance" in (await how_it_stands(db, job_id))[1]


async def test_an_account_of_one_host_is_not_used_on_another(
    db: Database, admin: Actor, host: Host, checkout: MakeCheckout, job_by: Any
) -> None:
    await enrol(db, admin, "web-2")
    job_id = await job_by(await checkout(host="web-2"))
    assert (await host.fake.poll()).jobs == []
    assert "an account of the host web-2, not of web-1" in (await how_it_stands(db, job_id))[1]


async def test_while_the_checkout_is_only_asked_for_the_job_waits(
    db: Database, host: Host, checkout: MakeCheckout, job_by: Any
) -> None:
    number = await checkout()
    await db.execute("ALTER TABLE checkouts DISABLE TRIGGER guard")
    await db.execute("UPDATE checkouts SET status = 'requested', active_at = NULL, deadline = NULL")
    job_id = await job_by(number)
    assert (await host.fake.poll()).jobs == []
    assert await how_it_stands(db, job_id) == ("queued", "")
    await db.execute("UPDATE checkouts SET status = 'active', active_at = now(), deadline = 'infinity'")
    assert [job.job_id for job in (await host.fake.poll()).jobs] == [job_id]


async def asked(vault: FakeVault, poll: "asyncio.Task[PollReply]") -> None:
    while not vault.asked:
        assert not poll.done()
        await asyncio.sleep(0.01)


async def test_one_that_ends_while_the_vault_is_asked_is_not_handed_over(
    db: Database, host: Host, fake_vault: FakeVault, checkout: MakeCheckout, job_by: Any
) -> None:
    number = await checkout()
    job_id = await job_by(number)
    fake_vault.answers.clear()
    poll = asyncio.create_task(host.fake.poll())
    await asked(fake_vault, poll)
    async with db.transaction() as tx:
        await checkouts.check_in(tx, SYSTEM, number, "Enough.")
    fake_vault.answers.set()
    assert (await poll).jobs == []
    assert (await how_it_stands(db, job_id))[0] == "failed"
    assert await db.fetchval("SELECT count(*) FROM audit WHERE action = 'credential.read'") == 0


async def all_blocked(db: Database, sessions: int) -> None:
    """So many wait for somebody's lock."""
    waiting = """SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    while await db.fetchval(waiting) < sessions:
        await asyncio.sleep(0.01)


async def test_a_reading_and_the_end_of_its_instance_do_not_wait_for_each_other(
    db: Database, host: Host, fake_vault: FakeVault, checkout: MakeCheckout, job_by: Any, instance: Any
) -> None:
    number = await instance()
    job_id = await job_by(await checkout(instance=number))
    await db.execute(
        "UPDATE jobs SET instance_id = $1, step_id = 's', visit = 1, credential_tries = 1", number
    )
    db.keys = SealingKeys([os.urandom(32)])
    async with db.transaction() as tx:
        await sealed_values.keep_of_job(tx, db.keys, job_id, {"PARAM_KEY_FILE": "x"})
    worker = uuid4()
    await workers.register(db, worker, "test")
    lease = await leases.take(db, number, worker)
    fake_vault.answers.clear()
    poll = asyncio.create_task(host.fake.poll())
    await asked(fake_vault, poll)
    async with db.transaction() as tx:
        await tx.execute("SELECT FROM identities FOR UPDATE")
        end = asyncio.create_task(commits.end_cancelled(db, lease, "Enough."))
        await all_blocked(db, 1)
        fake_vault.answers.set()
        await all_blocked(db, 2)
    await end
    assert (await poll).jobs == []
    assert (await how_it_stands(db, job_id))[0] == "cancelled"
    assert await db.fetchval("SELECT count(*) FROM audit WHERE action = 'credential.read'") == 0


async def test_a_slow_vault_holds_up_neither_other_jobs_nor_other_hosts(
    db: Database,
    admin: Actor,
    host: Host,
    fake_vault: FakeVault,
    checkout: MakeCheckout,
    job_by: Any,
    queued: Any,
) -> None:
    waits, plain = await job_by(await checkout()), await queued()
    fake_vault.answers.clear()
    assert [job.job_id for job in (await host.fake.poll(slots=2)).jobs] == [plain]
    poll = asyncio.create_task(host.fake.poll(slots=1, holding=[(plain, 1)]))
    await asked(fake_vault, poll)
    web2 = await enrol(db, admin, "web-2")
    await web2.fake.run(await queued("web-2"))
    fake_vault.answers.set()
    assert [job.job_id for job in (await poll).jobs] == [waits]
