"""Secret values of jobs: sealed while they rest, for one agent when they travel, gone when they are done."""

import base64
import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.protocol import AttemptRef, EnrolRequest, PollReply, StreamReport
from agent.sealed import CannotOpen, Unsealer
from definitions.errors import Conflict, Invalid, Unavailable
from definitions.permissions import Actor
from definitions.script import Script
from store import agents, executions, jobs, org_secrets, scripts
from store.connection import Database
from store.engine import commits, leases, leftovers, workers
from store.sealing import SealingKeys
from tests.store.jobs.conftest import FakeAgent

MARKER = "mArKeR-hunter2"


class Host:
    """An agent with a real key pair."""

    def __init__(self, fake: FakeAgent, key: X25519PrivateKey) -> None:
        self.fake = fake
        assert fake.actor.host_id is not None
        assert fake.actor.id is not None
        self.unsealer = Unsealer(fake.actor.host_id, fake.actor.id, key)

    def opened(self, reply: PollReply, names: list[str] | None = None) -> dict[str, str]:
        (job,) = reply.jobs
        ref = AttemptRef(job_id=job.job_id, attempt=job.attempt)
        return self.unsealer.open(ref, job.sealed, names or ["PARAM_KEY_FILE"]).values


@pytest.fixture
def sealing(db: Database) -> SealingKeys:
    db.keys = SealingKeys([os.urandom(32)])
    return db.keys


@pytest.fixture
async def host(db: Database, admin: Actor, sealing: SealingKeys) -> Host:
    return await enrol(db, admin, "web-1")


async def enrol(db: Database, admin: Actor, name: str) -> Host:
    key = X25519PrivateKey.generate()
    made = await org_secrets.create(db, admin, "tests", 1, timedelta(hours=1))
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    request = EnrolRequest(
        org_secret=made.secret, hostname=name, os="linux", public_key=public, version="0.1.0"
    )
    reply = await agents.enrol(db, request)
    return Host(FakeAgent(db, await agents.authenticate(db, reply.token), reply.token), key)


@pytest.fixture
def execute(db: Database, admin: Actor, host: Host) -> Callable[..., Awaitable[int]]:
    """Run a script with a secret parameter on web-1; returns the job."""

    async def run(**parameters: Any) -> int:
        script = Script.model_validate(
            {
                "name": "needs-key",
                "language": "bash",
                "content": "true",
                "parameters": [{"name": "key", "type": "secret", "required": True}, {"name": "plain"}],
            }
        )
        await scripts.put(db, admin, script)
        values = {"key": MARKER, **parameters}
        (job_id,) = (await executions.execute(db, admin, "needs-key", ["web-1"], values)).jobs
        return job_id

    return run


async def everything(db: Database) -> str:
    """Every row of every table as text."""
    tables = await db.fetch("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
    rows = [await db.fetch(f'SELECT t::text FROM "{table[0]}" t') for table in tables]
    return "\n".join(row[0] for found in rows for row in found)


async def test_the_value_rests_sealed_and_a_plain_one_is_found_by_the_same_search(db, execute) -> None:
    await execute(plain="planted-marker")
    text = await everything(db)
    assert "planted-marker" in text
    assert MARKER not in text
    assert MARKER.encode().hex() not in text
    assert base64.b64encode(MARKER.encode()).decode()[:16] not in text


async def test_at_the_claim_it_is_sealed_for_that_agent_and_attempt(db, admin, host, execute) -> None:
    await execute()
    reply = await host.fake.poll()
    assert host.opened(reply) == {"PARAM_KEY_FILE": MARKER}
    assert MARKER not in reply.model_dump_json()
    other = await enrol(db, admin, "web-2")
    with pytest.raises(CannotOpen):
        other.opened(reply)


async def test_a_reply_that_was_lost_is_sealed_anew(host, execute) -> None:
    await execute()
    first = await host.fake.poll(request_id="same")
    again = await host.fake.poll(request_id="same")
    assert first.jobs[0].sealed != again.jobs[0].sealed
    assert host.opened(first) == host.opened(again) == {"PARAM_KEY_FILE": MARKER}


async def test_a_job_without_secrets_has_nothing_sealed(host, queued) -> None:
    await queued()
    assert (await host.fake.poll()).jobs[0].sealed is None


async def _kept(db: Database, job_id: int) -> bool:
    return await db.fetchval("SELECT sealed_values FROM jobs WHERE id = $1", job_id) is not None


async def test_a_completed_jobs_values_are_erased_with_its_end(db, host, execute) -> None:
    job_id = await execute()
    await host.fake.run(job_id)
    assert not await _kept(db, job_id)


async def test_a_cancelled_jobs_values_are_erased_with_its_end(db, admin, execute) -> None:
    job_id = await execute()
    await jobs.cancel(db, admin, job_id)
    assert not await _kept(db, job_id)


@pytest.mark.parametrize("end", [{"exit_code": 1}, {"outcome": "timeout", "exit_code": None}])
async def test_a_job_that_can_be_retried_keeps_them_and_the_retry_gets_them(db, admin, host, execute, end):
    job_id = await execute()
    await host.fake.run(job_id, **end)
    assert await _kept(db, job_id)
    await jobs.retry(db, admin, job_id)
    reply = await host.fake.poll()
    assert reply.jobs[0].attempt == 2
    assert host.opened(reply) == {"PARAM_KEY_FILE": MARKER}


async def test_a_week_after_its_end_they_are_erased_and_it_can_not_be_retried(
    db, admin, host, execute
) -> None:
    old, young = await execute(), await execute()
    for job_id in (old, young):
        await host.fake.run(job_id, exit_code=1)
    await db.execute("UPDATE jobs SET ended_at = now() - interval '8 days' WHERE id = $1", old)
    await leftovers.purge(db)
    assert [await _kept(db, job_id) for job_id in (old, young)] == [False, True]
    with pytest.raises(Conflict, match="erased, at the latest 7 days after"):
        await jobs.retry(db, admin, old)
    await jobs.retry(db, admin, young)


async def test_the_end_of_its_instance_erases_a_failed_jobs_values(
    db, admin, host, execute, instance
) -> None:
    job_id = await execute()
    await host.fake.run(job_id, exit_code=1)
    number = await instance()
    await db.execute(
        "UPDATE jobs SET instance_id = $1, step_id = 's', visit = 1 WHERE id = $2", number, job_id
    )
    worker = uuid4()
    await workers.register(db, worker, "tests")
    lease = await leases.take(db, number, worker)
    await commits.end_cancelled(db, lease, "Enough.")
    assert not await _kept(db, job_id)


async def test_a_row_copied_to_another_job_does_not_open_and_holds_up_nothing_else(
    db, host, execute, queued
) -> None:
    first = await execute()
    second = await execute()
    await db.execute(
        "UPDATE jobs SET sealed_values = (SELECT sealed_values FROM jobs WHERE id = $1) WHERE id = $2",
        first,
        second,
    )
    third = await queued()
    reply = await host.fake.poll(slots=3)
    sealed = {job.job_id: job.sealed for job in reply.jobs}
    assert set(sealed) == {first, second, third}
    assert sealed[first] is not None
    assert sealed[second] is None


async def test_after_the_key_is_lost_the_agent_is_given_the_job_without_its_values(db, host, execute) -> None:
    await execute()
    db.keys = SealingKeys([os.urandom(32)])
    reply = await host.fake.poll()
    with pytest.raises(CannotOpen, match="did not come with it"):
        host.opened(reply)


async def test_without_a_key_no_job_is_made(db, admin, execute) -> None:
    db.keys = None
    with pytest.raises(Unavailable, match="no sealing key"):
        await execute()
    assert await db.fetchval("SELECT count(*) FROM jobs") == 0


@pytest.mark.parametrize("value", [None, ["x"], "nul\0 mArKeR", "x" * 70_000])
async def test_a_value_that_is_refused_is_not_repeated(db, execute, value) -> None:
    with pytest.raises(Invalid) as refused:
        await execute(key=value)
    assert "mArKeR" not in str(refused.value) + repr(refused.value.problems)
    assert await db.fetchval("SELECT count(*) FROM jobs") == 0


async def test_a_hit_in_the_output_is_audited_by_number_and_job(db, host, execute) -> None:
    job_id = await execute()
    streams = {"stdout": StreamReport(redacted=2), "stderr": StreamReport()}
    await host.fake.run(job_id, **streams)
    row = await db.fetchrow("SELECT * FROM audit WHERE action = 'job.secret_redacted'")
    assert (row["subject_id"], row["actor_kind"], row["detail"]) == (
        job_id,
        "agent",
        {"attempt": 1, "stdout": 2},
    )


async def test_output_without_a_hit_is_not_audited(db, host, execute) -> None:
    await host.fake.run(await execute())
    assert await db.fetchval("SELECT count(*) FROM audit WHERE action = 'job.secret_redacted'") == 0


async def test_a_password_given_by_hand_is_sealed_as_a_parameter_is(db, admin, host) -> None:
    payload = {"action": "reset_password", "user": "alice"}
    (job_id,) = await jobs.dispatch(
        db, admin, "user_control", ["web-1"], payload, secrets={"password": MARKER}
    )
    assert MARKER not in await everything(db)
    reply = await host.fake.poll()
    assert host.opened(reply, ["PARAM_PASSWORD_FILE"]) == {"PARAM_PASSWORD_FILE": MARKER}
    with pytest.raises(Invalid) as refused:
        await jobs.dispatch(
            db, admin, "user_control", ["web-1"], payload, secrets={"password": f"\n{MARKER}"}
        )
    assert MARKER not in str(refused.value) + repr(refused.value.problems)
    await host.fake.start(job_id)
    await host.fake.complete(job_id)
    assert not await _kept(db, job_id)


async def test_a_script_by_hand_takes_no_secret(db, admin, host) -> None:
    payload = {"language": "bash", "content": "true", "secrets": ["PARAM_KEY_FILE"]}
    with pytest.raises(Invalid) as refused:
        await jobs.dispatch(db, admin, "script", ["web-1"], payload)
    assert "saved script" in refused.value.problems[0].message
