"""The real pages over a real database, with people, a host, and an instance that waits at a gate."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from agent_api.authentication import COOKIE
from agent_api.events import Events
from approvals_ui.app import create_pages
from approvals_ui.settings import PagesSettings
from definitions.permissions import SYSTEM
from definitions.steps import ApprovalStep
from store import approvals, channels, instances, passwords, sessions, users, workflows
from store.connection import Database, Listener

ORIGIN = "http://opsgate.test"
PASSWORD = "correct horse battery staple"
GATED: dict[str, Any] = {
    "name": "deploy-web",
    "description": "Checks the disk, asks, deploys.",
    "inputs": [
        {"name": "threshold", "type": "integer", "required": True, "description": "Percent of the disk."},
        {"name": "note", "type": "string", "default": ""},
        {"name": "channel", "type": "choice", "choices": ["stable", "beta"], "default": "stable"},
    ],
    "steps": [
        {"id": "look", "type": "command", "name": "Look at the disk", "command": "df -h /"},
        {
            "id": "gate",
            "type": "approval",
            "name": "Approve the deployment",
            "title": "Deploy {{inputs.note}}?",
            "approvers": ["role:approver"],
            "timeout_minutes": 60,
        },
        {"id": "deploy", "type": "command", "name": "Deploy", "command": "deploy {{inputs.note}}"},
    ],
}


@dataclass
class Seeded:
    """What there is to look at."""

    people: dict[str, int]
    workflow_id: int
    instance_id: int
    request_id: int


@pytest.fixture
async def events(db: Database) -> AsyncIterator[Events]:
    """What the web process hears."""
    events = Events()
    listener = Listener(db.dsn, {channels.EVENTS: events.deliver})
    await listener.start()
    yield events
    await listener.stop()


@pytest.fixture(scope="session")
def password_hash() -> str:
    """The hash of everybody's password, made once: it is slow on purpose."""
    return asyncio.run(passwords.hashed(PASSWORD))


@pytest.fixture
async def people(db: Database, password_hash: str) -> dict[str, int]:
    """olga starts things, anna and bert approve, vera only looks."""
    await users.bootstrap(db)
    roles = {"olga": "operator", "anna": "approver", "bert": "approver", "vera": "viewer"}
    made = [(name, await users.create(db, SYSTEM, name, None, None, [role])) for name, role in roles.items()]
    await db.execute("UPDATE users SET password_hash = $1", password_hash)
    return {name: view.id for name, view in made}


@pytest.fixture
async def host_id(db: Database) -> int:
    """A host with an agent that has just been heard of."""
    host: int = await db.fetchval("INSERT INTO hosts (name, os) VALUES ('web-1', 'linux') RETURNING id")
    await db.execute(
        """INSERT INTO agents (host_id, token_sha256, public_key, version, last_seen_at)
           VALUES ($1, sha256('t'), sha256('k'), '0.1.0', now())""",
        host,
    )
    return host


Seed = Callable[..., Awaitable[Seeded]]


@pytest.fixture
def seed(db: Database, people: dict[str, int], host_id: int) -> Seed:
    """Publishes the gated workflow, starts it, and brings it to its gate as the engine would."""

    async def make(note: str = "release 7", stdout: str = "ok\n", **changes: Any) -> Seeded:
        view, _ = await workflows.put(db, SYSTEM, {**GATED, **changes}, publish=True)
        olga = await users.actor_of(db, people["olga"])
        started = await instances.start(db, olga, view.id, ["web-1"], {"threshold": "90", "note": note})
        await _look(db, started.id, host_id, stdout)
        request = await _gate(db, started.id, note, people["olga"])
        return Seeded(people, view.id, started.id, request)

    return make


async def _look(db: Database, instance_id: int, host_id: int, stdout: str) -> None:
    """The first step's result: a job that printed something."""
    await db.execute(
        """INSERT INTO step_results (instance_id, step_id, visit, kind, name, status, outcome, ended_at)
           VALUES ($1, 'look', 1, 'command', 'Look at the disk', 'completed', 'success', now())""",
        instance_id,
    )
    job = await db.fetchval(
        """INSERT INTO jobs (type, status, priority, host_id, payload, timeout_seconds, created_by_name,
               instance_id, step_id, visit, started_at, ended_at, outcome, exit_code, stdout_length)
           VALUES ('command', 'completed', 2, $2, '{"type": "command", "command": "df -h /"}', 60, 'olga',
               $1, 'look', 1, now(), now(), 'exited', 0, $3) RETURNING id""",
        instance_id,
        host_id,
        len(stdout.encode()),
    )
    await db.execute(
        """INSERT INTO job_output (job_id, attempt, stream, seq, byte_offset, data)
           VALUES ($1, 1, 'stdout', 0, 0, $2)""",
        job,
        stdout.encode(),
    )


async def _gate(db: Database, instance_id: int, note: str, started_by: int) -> int:
    """The open gate."""
    step = ApprovalStep.model_validate(GATED["steps"][1])
    async with db.transaction() as tx:
        await tx.execute(
            """INSERT INTO step_results (instance_id, step_id, visit, kind, name, status)
               VALUES ($1, 'gate', 1, 'approval', 'Approve the deployment', 'waiting')""",
            instance_id,
        )
        await tx.execute(
            "UPDATE instances SET status = 'running', started_at = now() WHERE id = $1", instance_id
        )
        await tx.execute(
            "UPDATE instances SET status = 'paused', frontier = $2 WHERE id = $1",
            instance_id,
            [{"step": "gate", "visit": 1}],
        )
        return await approvals.open_request(
            tx,
            instance_id=instance_id,
            step_id="gate",
            visit=1,
            step=step,
            title=f"Deploy {note}?",
            description="The disk has room.",
            started_by=started_by,
        )


class Browser:
    """A person at the pages: keeps cookies, fills in forms, follows nothing by itself."""

    def __init__(self, client: httpx2.AsyncClient, db: Database) -> None:
        self.client = client
        self.db = db

    async def get(self, path: str, **more: Any) -> httpx2.Response:
        """Look at a page."""
        return await self.client.get(path, **more)

    async def csrf(self, path: str) -> str:
        """The CSRF token of the forms of a page."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', (await self.get(path)).text)
        assert found is not None, f"{path} has no form"
        return found[1]

    async def enter(self, name: str) -> None:
        """Be signed in, without going through the form."""
        user_id = await self.db.fetchval("SELECT id FROM users WHERE name = $1", name)
        self.client.cookies.set(COOKIE, (await sessions.open(self.db, user_id)).token)

    async def sign_in(self, name: str, password: str = PASSWORD, next_path: str = "/") -> httpx2.Response:
        """Fill in the sign-in form."""
        fields = {"name": name, "password": password, "next": next_path}
        return await self.post("/sign-in", fields, await self.csrf("/sign-in"))

    async def post(self, path: str, fields: dict[str, Any], csrf: str) -> httpx2.Response:
        """Send a form as a browser does."""
        return await self.client.post(path, data={**fields, "csrf_token": csrf}, headers={"Origin": ORIGIN})

    async def vote(self, request_id: int, decision: str, comment: str = "", **more: str) -> httpx2.Response:
        """Fill in the form of an approval page."""
        path = f"/approvals/{request_id}"
        shown = (await self.get(path)).text
        digest = re.search(r'name="digest" value="([0-9a-f]{64})"', shown)
        fields = {"decision": decision, "comment": comment, "digest": digest[1] if digest else "", **more}
        return await self.post(f"{path}/vote", fields, await self.csrf(path))


@pytest.fixture
async def browser(db: Database) -> AsyncIterator[Callable[[], Browser]]:
    """Opens fresh browsers on the pages."""
    settings = PagesSettings(public_url=ORIGIN, prefect_ui_url="http://prefect.test:4200")
    transport = httpx2.ASGITransport(create_pages(db, settings, Events()), raise_app_exceptions=False)
    opened: list[httpx2.AsyncClient] = []

    def open_one() -> Browser:
        client = httpx2.AsyncClient(transport=transport, base_url=ORIGIN)
        opened.append(client)
        return Browser(client, db)

    yield open_one
    for client in opened:
        await client.aclose()
