"""A whole Opsgate for the time of a measurement: embedded stack, people, workflows, instant agents."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.instant_agent import Deliveries, InstantAgent
from benchmarks.ours.endings import Endings
from benchmarks.ours.workflows import DOCUMENTS, SCRIPT_DOCUMENT
from definitions.permissions import SYSTEM
from deployments.cli import profile
from deployments.stack.data_folder import DataFolder
from deployments.stack.embedded import Stack, running
from deployments.stack.first_start import SECOND_PERSON
from store import tokens
from store.connection import Database

PARTS = {"prefect server": "prefect-server", "PostgreSQL": "postgres", "worker": "worker", "web": "web"}
"""How the table calls the processes of the stack."""

HOSTS = 4
ONLINE_SECONDS = 60
_ONLINE = """
SELECT 1 FROM hosts h JOIN agents a ON a.host_id = h.id
WHERE h.name = $1 AND a.last_seen_at > now() - interval '30 seconds'
"""


@dataclass
class Installation:
    """What a measurement needs: callers for the API, the clocks, the process ids."""

    stack: Stack
    db: Database
    starter: httpx2.AsyncClient
    voter: httpx2.AsyncClient
    deliveries: Deliveries
    endings: Endings
    hosts: list[str] = field(default_factory=list)

    def pids(self) -> dict[str, int]:
        """The process id of each part."""
        found = {name: self.stack.processes.pid(child) for name, child in PARTS.items()}
        return {name: pid for name, pid in found.items() if pid is not None}

    async def post(self, address: str, body: Any, client: httpx2.AsyncClient | None = None) -> Any:
        """POST to /api/v1; raises when refused."""
        answer = await (client or self.starter).post(address, json=body)
        if answer.is_error:
            raise RuntimeError(f"POST {address} was answered {answer.status_code}: {answer.text[:500]}")
        return answer.json() if answer.content else None

    async def start(self, workflow: str, number: int, hosts: list[str] | None = None) -> int:
        """Start an instance on one of the hosts in turn."""
        on = hosts or self.hosts
        body = {"hosts": [on[number % len(on)]], "inputs": {}}
        started: int = (await self.post(f"/workflows/{workflow}/start", body))["id"]
        return started

    async def vote(self, request_id: int, digest: str) -> None:
        """Approve as the second person."""
        body = {"decision": "approve", "comment": "measured", "digest": digest}
        await self.post(f"/approvals/{request_id}/vote", body, self.voter)

    async def org_secret(self, uses: int) -> str:
        """A fresh secret for enrolling."""
        body = {"name": "benchmarks", "max_uses": uses, "lifetime_minutes": 60}
        secret: str = (await self.post("/org-secrets", body))["secret"]
        return secret

    async def online(self, host: str) -> None:
        """Wait until the host has polled."""
        async with asyncio.timeout(ONLINE_SECONDS):
            while not await self.db.fetchval(
                _ONLINE,
                host,
            ):
                await asyncio.sleep(0.1)


@asynccontextmanager
async def installation() -> AsyncIterator[Installation]:
    """Everything up, workflows published, agents online; everything stopped and deleted after the block."""
    with tempfile.TemporaryDirectory(prefix="ogb-") as place:
        async with (
            running(DataFolder(Path(place)), second_person=True, say=lambda _: None) as stack,
            contextlib.AsyncExitStack() as opened,
        ):
            found = await _open(stack, opened)
            await _define(found)
            await _enrol(found, opened)
            yield found


async def _open(stack: Stack, opened: contextlib.AsyncExitStack) -> Installation:
    db = await Database.connect(stack.environment["OPSGATE_DATABASE_URL"], name="opsgate-bench")
    opened.push_async_callback(db.close)
    admin = profile.read(stack.folder.path / profile.NAME)
    assert admin is not None
    second = await tokens.create(db, SYSTEM, "benchmarks", SECOND_PERSON)
    clients = [
        await opened.enter_async_context(
            httpx2.AsyncClient(
                base_url=stack.url + "/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=60
            )
        )
        for token in (admin.token, second.token)
    ]
    endings = Endings(db)
    await endings.start()
    opened.push_async_callback(endings.stop)
    return Installation(stack, db, clients[0], clients[1], Deliveries(), endings)


async def _define(found: Installation) -> None:
    await found.post("/scripts", SCRIPT_DOCUMENT)
    for name, document in DOCUMENTS.items():
        await found.post("/workflows", document)
        await found.post(f"/workflows/{name}/publish", None)


async def _enrol(found: Installation, opened: contextlib.AsyncExitStack) -> None:
    secret = await found.org_secret(HOSTS)
    for number in range(1, HOSTS + 1):
        agent = InstantAgent(found.stack.url, f"instant-{number}", found.deliveries)
        await agent.enrol(secret)
        running_agent = asyncio.create_task(agent.run(), name=agent.name)
        opened.push_async_callback(_stop, running_agent)
        found.hosts.append(agent.name)
    for host in found.hosts:
        await found.online(host)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
