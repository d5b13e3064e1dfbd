"""The API served on a real port, and people with tokens to call it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import uvicorn

from agent_api.app import create_api
from agent_api.settings import ApiSettings
from definitions.permissions import SYSTEM
from store import tokens, users
from store.connection import Database

WAIT = {"id": "wait", "type": "delay", "seconds": 5}
GATE = {"id": "gate", "type": "approval", "title": "Deploy?", "approvers": ["role:approver"]}


class Served:
    """A running API and one client a person."""

    def __init__(self, db: Database, url: str) -> None:
        self.db = db
        self.url = url
        self._clients: list[httpx2.AsyncClient] = []

    async def person(self, name: str, *roles: str) -> httpx2.AsyncClient:
        user = await users.create(self.db, SYSTEM, name, None, None, list(roles))
        token = (await tokens.create(self.db, SYSTEM, "test", user.id)).token
        return self.client({"Authorization": f"Bearer {token}"})

    def client(self, headers: dict[str, str] | None = None) -> httpx2.AsyncClient:
        client = httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=20)
        self._clients.append(client)
        return client

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()


@pytest.fixture
async def served(db: Database) -> AsyncIterator[Served]:
    await users.bootstrap(db)
    await db.execute("INSERT INTO hosts (name, os) VALUES ('web-1', 'linux')")
    app = create_api(db, ApiSettings())
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    running = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:
        await asyncio.sleep(0.01)
    world = Served(db, f"http://127.0.0.1:{listening.getsockname()[1]}")
    try:
        yield world
    finally:
        await world.close()
        server.should_exit = True
        await running


@pytest.fixture
async def operator(served: Served) -> httpx2.AsyncClient:
    return await served.person("ana", "operator")


@pytest.fixture
async def approver(served: Served) -> httpx2.AsyncClient:
    return await served.person("bo", "approver")


@pytest.fixture
async def viewer(served: Served) -> httpx2.AsyncClient:
    return await served.person("vi", "viewer")


@pytest.fixture
async def deploy(operator: httpx2.AsyncClient, approver: httpx2.AsyncClient) -> dict[str, Any]:
    """A published workflow with a gate that `bo` may decide."""
    body = {
        "name": "deploy",
        "steps": [GATE, WAIT],
        "inputs": [{"name": "n", "type": "integer", "default": 1}],
    }
    reply = await operator.put("/api/v1/workflows/by-name/deploy", params={"publish": "true"}, json=body)
    assert reply.status_code == 201, reply.text
    view: dict[str, Any] = reply.json()
    return view
