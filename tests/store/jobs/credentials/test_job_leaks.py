"""A credential that shows up in the output is audited, and replaced or told of."""

from typing import Any

import pytest

from agent.protocol import StreamReport
from definitions.permissions import SYSTEM, Actor
from store import checkouts, jobs, rotations
from store.connection import Database
from tasks import rotation
from tests.store.jobs.credentials.conftest import MakeCheckout, save_identity
from tests.store.jobs.test_secrets import Host, enrol

LEAKED = StreamReport(redacted=1, credential_redacted=True)


async def leaks_told(db: Database) -> list[int]:
    """The jobs of which those who look after vaults are told."""
    rows = await db.fetch("SELECT payload FROM outbox WHERE kind = 'notice' ORDER BY id")
    identity = await db.fetchval("SELECT id FROM identities")
    assert all(
        row["payload"].items() >= {"event": "identity.leaked", "subject_id": identity}.items() for row in rows
    )
    return [row["payload"]["job_id"] for row in rows]


async def come_back(db: Database, checkout: int) -> None:
    async with db.transaction() as tx:
        await checkouts.check_in(tx, SYSTEM, checkout, "Done.")


async def test_a_credential_in_the_output_is_audited_and_due_for_rotation(
    db: Database, host: Host, checkout: MakeCheckout, job_by: Any
) -> None:
    number = await checkout(host="web-1")
    first, second = await job_by(number), await job_by(number)
    for job_id in (first, second):
        await host.fake.run(job_id, stderr=LEAKED)
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
        await host.fake.run(job_id, stderr=LEAKED)
    assert await db.fetchval("SELECT rotation_due_at FROM identities") is None
    assert await leaks_told(db) == [first]


@pytest.mark.parametrize("earlier", [True, False])
async def test_one_that_is_not_replaced_after_all_is_told_once_for_a_checkout(
    db: Database, host: Host, checkout: MakeCheckout, job_by: Any, earlier: bool
) -> None:
    number = await checkout(host="web-1")
    first, second = await job_by(number), await job_by(number)
    if earlier:  # its mark has another reason
        await db.execute("UPDATE identities SET rotation_due_at = now(), rotation_reason = 'It was used.'")
    for job_id in (first, second):
        await host.fake.run(job_id, stderr=LEAKED)
    await come_back(db, number)
    await save_identity(db)
    assert await leaks_told(db) == []
    (identity,) = await rotations.due(db)
    assert await rotation.advance(db, identity)
    assert await leaks_told(db) == [first]
    why = await db.fetchval("SELECT detail ->> 'why' FROM audit WHERE action = 'identity.leaked'")
    assert why == f"Job {first} of web-1 printed it."


@pytest.mark.parametrize("late", [False, True])
async def test_one_of_another_account_than_is_rotated_is_told(
    db: Database, host: Host, checkout: MakeCheckout, job_by: Any, late: bool
) -> None:
    number = await checkout(host="web-1")
    job_id = await job_by(number)
    await host.fake.poll()
    await host.fake.start(job_id)
    if not late:
        await host.fake.complete(job_id, stderr=LEAKED)
    await come_back(db, number)
    await save_identity(db, host="web-1", username="another")
    await rotations.ask(db, SYSTEM, "deployer")
    async with rotations.turn(db, await db.fetchval("SELECT id FROM identities")) as turn:
        assert turn is not None
        await rotations.done(turn)
    if late:
        await host.fake.complete(job_id, stderr=LEAKED)
    assert await leaks_told(db) == [job_id]


async def test_one_that_was_replaced_since_is_told_to_nobody(
    db: Database, host: Host, checkout: MakeCheckout, job_by: Any
) -> None:
    number = await checkout(host="web-1")
    await host.fake.run(await job_by(number), stderr=LEAKED)
    await come_back(db, number)
    (identity,) = await rotations.due(db)
    async with rotations.turn(db, identity) as turn:
        assert turn is not None
        await rotations.done(turn)
    await rotations.ask(db, SYSTEM, identity)
    await save_identity(db)
    assert await rotation.advance(db, identity)
    assert await leaks_told(db) == []


async def test_what_a_person_asked_for_is_not_called_off_when_it_was_printed_meanwhile(
    db: Database, host: Host, checkout: MakeCheckout, job_by: Any
) -> None:
    number = await checkout(host="web-1")
    job_id = await job_by(number)
    await host.fake.poll()
    await host.fake.start(job_id)
    await come_back(db, number)
    asked = await rotations.ask(db, SYSTEM, "deployer")
    await host.fake.complete(job_id, stderr=LEAKED)
    async with rotations.turn(db, asked.identity_id) as turn:
        assert turn is not None
        await rotations.failed(turn, "The vault main is sealed.")
    assert not await rotations.call_off(db, asked)
    assert await db.fetchval("SELECT rotation_due_at IS NOT NULL FROM identities")
