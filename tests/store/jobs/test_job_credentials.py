"""A job's credential is read at its claim, for an active checkout, sealed to its agent, and not kept."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from agent.protocol import AttemptRef, Credential, JobMessage, PollReply, StreamReport
from agent.sealed import CannotOpen
from definitions.identity import Identity, parse_identity
from definitions.permissions import SYSTEM, Actor
from definitions.vault import Vault, parse_vault
from store import checkouts, job_credentials, jobs, sealed_values
from store.connection import Database
from store.engine import commits, leases, workers
from store.identities import IDENTITIES
from store.job_credentials import NotRead
from store.sealing import SealingKeys
from store.vaults import VAULTS
from tests.store.jobs.test_secrets import Host, enrol, everything

PASSWORD = "mArKeR correct horse"


@dataclass(frozen=True)
class Given:
    secret: str
    passphrase: str | None = None


class FakeVault:
    """Gives a password, or what it is told to raise first, and counts."""

    def __init__(self) -> None:
        self.refusals: list[NotRead] = []
        self.asked: list[str] = []
        self.answers = asyncio.Event()
        self.answers.set()

    async def read(self, vault: Vault, identity: Identity) -> Given:
        self.asked.append(f"{vault.name}/{identity.name}")
        await self.answers.wait()
        if self.refusals:
            raise self.refusals.pop(0)
        return Given(PASSWORD)


@pytest.fixture
def fake_vault() -> FakeVault:
    return FakeVault()


@pytest.fixture
async def host(db: Database, admin: Actor, fake_vault: FakeVault) -> Host:
    made = await enrol(db, admin, "web-1")
    made.fake.read = fake_vault.read
    return made


async def save_identity(db: Database, **more: Any) -> None:
    vault, _ = parse_vault(
        {"name": "main", "address": "https://vault.test", "auth": {"method": "token", "token": "env:T"}}
    )
    fields = {"name": "deployer", "vault": "main", "source": "kv_password", "path": "secret/x", **more}
    identity, problems = parse_identity({"username": "deploy", **fields})
    assert vault is not None
    assert identity is not None, problems
    await VAULTS.put(db, SYSTEM, vault)
    await IDENTITIES.put(db, SYSTEM, identity)


async def checked_out(
    db: Database, person: Actor = SYSTEM, instance: int | None = None, **identity: Any
) -> int:
    """An active checkout of an identity that is made for it."""
    await save_identity(db, **identity)
    number: int = await db.fetchval(
        """INSERT INTO checkouts (status, identity_id, identity_version, exclusive, ready, minutes,
               reason, for_id, active_at, deadline, instance_id, step_id, visit)
           SELECT 'active', id, version, false, true, 60, 'the release', $1, now(),
               now() + interval '1 hour', $2, CASE WHEN $2::bigint IS NOT NULL THEN 'out' END,
               CASE WHEN $2::bigint IS NOT NULL THEN 1 END
           FROM identities RETURNING id""",
        person.id,
        instance,
    )
    return number


MakeCheckout = Callable[..., Awaitable[int]]


@pytest.fixture
def checkout(db: Database, admin: Actor) -> MakeCheckout:
    """An identity that is checked out, by itself or for an instance."""

    async def make(*, instance: int | None = None, **more: Any) -> int:
        return await checked_out(db, admin, instance, **more)

    return make


@pytest.fixture
def job_by(db: Database, queued: Callable[..., Awaitable[int]]) -> Callable[[int], Awaitable[int]]:
    """Queue a command on web-1 that runs by a checkout; its id."""

    async def queue(checkout_id: int) -> int:
        job_id = await queued()
        await db.execute("UPDATE jobs SET checkout_id = $2 WHERE id = $1", job_id, checkout_id)
        return job_id

    return queue


def credential_in(host: Host, job: JobMessage) -> Credential | None:
    ref = AttemptRef(job_id=job.job_id, attempt=job.attempt)
    return host.unsealer.open(ref, job.sealed, [], job.identity).credential


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


async def test_a_credential_in_the_output_is_audited_and_due_for_rotation(
    db: Database, host: Host, checkout: MakeCheckout, job_by: Any
) -> None:
    number = await checkout(host="web-1")
    first, second = await job_by(number), await job_by(number)
    leaked = StreamReport(redacted=1, credential_redacted=True)
    for job_id in (first, second):
        await host.fake.run(job_id, stderr=leaked)
    rows = await db.fetch("SELECT * FROM audit WHERE action = 'job.credential_redacted' ORDER BY id")
    assert [row["subject_id"] for row in rows] == [first, second]
    assert rows[0]["detail"] == {"identity": "deployer", "checkout": number, "attempt": 1}
    marked = await db.fetchrow("SELECT rotation_due_at, rotation_reason FROM identities")
    assert marked is not None
    assert marked["rotation_due_at"] is not None
    assert marked["rotation_reason"] == f"Job {first} of web-1 printed it."


async def test_another_secret_in_the_output_says_nothing_of_the_identity(
    db: Database, host: Host, checkout: MakeCheckout, job_by: Any
) -> None:
    await host.fake.run(await job_by(await checkout()), stdout=StreamReport(redacted=1))
    assert await db.fetchval("SELECT rotation_due_at FROM identities") is None


@pytest.mark.parametrize("retried", [False, True])
async def test_what_an_agent_saw_counts_once_also_of_an_attempt_that_the_server_has_ended(
    db: Database, admin: Actor, host: Host, checkout: MakeCheckout, job_by: Any, retried: bool
) -> None:
    number = await checkout(host="web-1")
    job_id = await job_by(number)
    await host.fake.poll()
    await host.fake.start(job_id)
    await db.execute("UPDATE jobs SET started_at = now() - interval '1 day'")
    assert await jobs.time_out_running(db) == 1
    if retried:
        await jobs.retry(db, admin, job_id)
    web2 = await enrol(db, admin, "web-2")
    leaked = StreamReport(redacted=2, credential_redacted=True)
    for agent in (web2, host):
        assert await db.fetchval("SELECT rotation_due_at FROM identities") is None
        for outcome in ("interrupted", "interrupted", "timeout"):
            assert not (await agent.fake.complete(job_id, outcome=outcome, stdout=leaked)).accepted
    noted = "SELECT action, actor_name, detail FROM audit WHERE action LIKE 'job.%redacted' ORDER BY id"
    assert [tuple(row) for row in await db.fetch(noted)] == [
        ("job.credential_redacted", "web-1", {"identity": "deployer", "checkout": number, "attempt": 1}),
        ("job.secret_redacted", "web-1", {"stdout": 2, "attempt": 1}),
    ]
    assert await db.fetchval("SELECT rotation_reason FROM identities") == f"Job {job_id} of web-1 printed it."


async def test_one_that_opsgate_cant_have_replaced_is_told_once_for_a_checkout(
    db: Database, host: Host, checkout: MakeCheckout, job_by: Any
) -> None:
    number = await checkout(source="kv_ssh_key")
    first, second = await job_by(number), await job_by(number)
    for job_id in (first, second):
        await host.fake.run(job_id, stderr=StreamReport(redacted=1, credential_redacted=True))
    assert await db.fetchval("SELECT rotation_due_at FROM identities") is None
    told = [row["payload"] for row in await db.fetch("SELECT payload FROM outbox WHERE kind = 'notice'")]
    identity = await db.fetchval("SELECT id FROM identities")
    assert told == [{"event": "identity.leaked", "subject_id": identity, "job_id": first}]
