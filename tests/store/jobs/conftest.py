"""An administrator, hosts with enrolled agents, and jobs on them."""

import base64
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from agent.protocol import (
    CompletedReport,
    EnrolRequest,
    Held,
    PollReply,
    PollRequest,
    StartedReport,
    StateReply,
)
from definitions.permissions import SYSTEM, Actor
from store import agents, claims, jobs, org_secrets, users
from store.connection import Database
from store.job_credentials import ReadCredential


@dataclass
class FakeAgent:
    """Speaks for one host, through the use-cases that the routes call."""

    db: Database
    actor: Actor
    token: str
    boot_id: str = "boot-1"
    polls: int = 0
    read: ReadCredential | None = None
    """Stands for the vaults."""

    async def poll(
        self,
        *,
        slots: int = 1,
        holding: list[tuple[int, int]] | None = None,
        request_id: str | None = None,
        again: bool = False,
    ) -> PollReply:
        self.polls += 1
        request = PollRequest(
            boot_id=self.boot_id,
            request_id=request_id or f"{self.boot_id}-{self.polls}",
            free_slots=slots,
            holding=[Held(job_id=job, attempt=attempt, state="accepted") for job, attempt in holding or []],
        )
        return await claims.poll(self.db, self.actor, request, again=again, read=self.read)

    async def start(self, job_id: int, attempt: int = 1) -> StateReply:
        return await jobs.report(self.db, self.actor, job_id, attempt, StartedReport(boot_id=self.boot_id))

    async def complete(self, job_id: int, attempt: int = 1, **said: Any) -> StateReply:
        report = CompletedReport(**{"outcome": "exited", "exit_code": 0, **said})
        return await jobs.report(self.db, self.actor, job_id, attempt, report)

    async def run(self, job_id: int, attempt: int = 1, **said: Any) -> None:
        """Claim, start and complete the one job there is."""
        reply = await self.poll()
        assert [(job.job_id, job.attempt) for job in reply.jobs] == [(job_id, attempt)]
        assert (await self.start(job_id, attempt)).accepted
        assert (await self.complete(job_id, attempt, **said)).accepted


@pytest.fixture
async def admin(db: Database) -> Actor:
    await users.bootstrap(db)
    view = await users.create(db, SYSTEM, "ann", None, None, ["admin"])
    return await users.actor_of(db, view.id)


@pytest.fixture
def enrolled(db: Database, admin: Actor) -> Callable[[str], Awaitable[FakeAgent]]:
    """Enrol a host by name."""

    async def enrol(name: str) -> FakeAgent:
        secret = await org_secrets.create(db, admin, "tests", 1, timedelta(hours=1))
        reply = await agents.enrol(
            db,
            EnrolRequest(
                org_secret=secret.secret,
                hostname=name,
                os="linux",
                public_key=base64.b64encode(os.urandom(32)).decode(),
                version="0.1.0",
            ),
        )
        return FakeAgent(db, await agents.authenticate(db, reply.token), reply.token)

    return enrol


@pytest.fixture
async def web1(enrolled: Callable[[str], Awaitable[FakeAgent]]) -> FakeAgent:
    return await enrolled("web-1")


@pytest.fixture
def queued(db: Database, admin: Actor) -> Callable[..., Awaitable[int]]:
    """Queue one command job on a host; returns its id."""

    async def queue(host: str = "web-1", command: str = "true", **more: Any) -> int:
        (job_id,) = await jobs.dispatch(db, admin, "command", [host], {"command": command}, **more)
        return job_id

    return queue


@pytest.fixture
def instance(db: Database) -> Callable[..., Awaitable[int]]:
    """An instance of an empty workflow, as a row; running."""

    async def make(*, gated: bool = False) -> int:
        workflow = await db.fetchval(
            """INSERT INTO workflows (name, draft) VALUES ('w' || (SELECT count(*) FROM workflows), '{}')
               RETURNING id"""
        )
        await db.execute(
            "INSERT INTO workflow_versions (workflow_id, version, definition) VALUES ($1, 1, '{}')", workflow
        )
        instance_id: int = await db.fetchval(
            """INSERT INTO instances (workflow_id, workflow_version, host_ids, started_by_name, status)
               VALUES ($1, 1, '{}', 'ann', 'running') RETURNING id""",
            workflow,
        )
        if gated:
            await db.execute(
                """INSERT INTO approval_requests (instance_id, step_id, visit, title, approval_type, quorum,
                       eligible, frozen, digest) 
                   VALUES ($1, 'gate', 1, 't', 'one_of_many', 1, '{1}', '{}', '')""",
                instance_id,
            )
        return instance_id

    return make


@pytest.fixture
def step_job(db: Database, web1: FakeAgent) -> Callable[[int], Awaitable[int]]:
    """Queue a job of step `s` of an instance on web-1; returns its id."""

    async def queue(instance_id: int) -> int:
        from agent.payloads import CommandPayload

        async with db.transaction() as tx:
            new = jobs.NewJob("command", web1.actor.host_id or 0, CommandPayload(command="true"), 2)
            (job_id,) = await jobs.insert(tx, "ann", None, [new], instance_id, "s", 1)
        return job_id

    return queue
