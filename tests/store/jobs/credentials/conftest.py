"""A host, a vault that gives or refuses, and jobs that run by a checkout."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from agent.protocol import AttemptRef, Credential, JobMessage
from definitions.identity import Identity, parse_identity
from definitions.permissions import SYSTEM, Actor
from definitions.vault import Vault, parse_vault
from store.connection import Database
from store.identities import IDENTITIES
from store.job_credentials import NotRead
from store.vaults import VAULTS
from tests.store.jobs.test_secrets import Host, enrol

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
