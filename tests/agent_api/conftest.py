"""The real application over a real database; `served` also over a real connection on loopback."""

import asyncio
import base64
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI

from agent_api.app import create_api
from agent_api.settings import ApiSettings
from definitions.permissions import SYSTEM
from store import org_secrets, tokens, users
from store.connection import Database

PASSWORD = "correct horse battery staple"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def app(db: Database) -> FastAPI:
    return create_api(db, ApiSettings(max_body_bytes=256 * 1024))


@pytest.fixture
async def anyone(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A client without a token."""
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://opsgate.test") as client:
        yield client


@pytest.fixture
async def people(db: Database) -> dict[str, dict[str, str]]:
    """Headers of ann (admin), vera (viewer), and sam, who is signed in and may do nothing."""
    await users.bootstrap(db)
    headers = {}
    for name, roles in (("ann", ["admin"]), ("vera", ["viewer"]), ("sam", [])):
        view = await users.create(db, SYSTEM, name, None, None, roles)
        headers[name] = bearer((await tokens.create(db, SYSTEM, "tests", view.id)).token)
    return headers


@dataclass
class FakeAgent:
    """An agent's end of the wire."""

    client: httpx2.AsyncClient
    agent_id: int
    token: str
    polls: int = 0

    async def post(self, path: str, body: dict[str, Any]) -> httpx2.Response:
        headers = {**bearer(self.token), "Content-Type": "application/json"}
        return await self.client.post(f"/agent/v1/{path}", content=json.dumps(body), headers=headers)

    def poll_body(self, **more: Any) -> dict[str, Any]:
        self.polls += 1
        return {"boot_id": "b", "request_id": f"r{self.polls}", "wait_seconds": 0, **more}

    async def poll(self, **more: Any) -> dict[str, Any]:
        answer = await self.post("poll", self.poll_body(**more))
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def start(self, job_id: int, attempt: int = 1) -> httpx2.Response:
        return await self.post(f"jobs/{job_id}/{attempt}/state", {"state": "started", "boot_id": "b"})

    async def complete(self, job_id: int, attempt: int = 1, **said: Any) -> httpx2.Response:
        body = {"state": "completed", "outcome": "exited", "exit_code": 0, **said}
        return await self.post(f"jobs/{job_id}/{attempt}/state", body)

    async def output(self, job_id: int, data: bytes, seq: int = 0, offset: int = 0) -> httpx2.Response:
        return await self.client.put(
            f"/agent/v1/jobs/{job_id}/1/output?stream=stdout&seq={seq}&offset={offset}",
            content=data,
            headers=bearer(self.token),
        )


def enrolment(secret: str, hostname: str = "web-1", **more: Any) -> dict[str, Any]:
    key = base64.b64encode(os.urandom(32)).decode()
    body = {"org_secret": secret, "hostname": hostname, "os": "linux", "public_key": key, "version": "0.1.0"}
    return {**body, **more}


@pytest.fixture
def enrol_body() -> Callable[..., dict[str, Any]]:
    return enrolment


@pytest.fixture
async def secret(db: Database) -> str:
    return (await org_secrets.create(db, SYSTEM, "tests", 50, timedelta(hours=1))).secret


@pytest.fixture
def enrolled(secret: str) -> Callable[..., Awaitable[FakeAgent]]:
    async def enrol(client: httpx2.AsyncClient, hostname: str = "web-1") -> FakeAgent:
        answer = await client.post("/agent/v1/enrol", json=enrolment(secret, hostname))
        assert answer.status_code == 200, answer.text
        return FakeAgent(client, answer.json()["agent_id"], answer.json()["token"])

    return enrol


HeldOpen = Callable[[FakeAgent, Coroutine[Any, Any, Any]], Awaitable["asyncio.Task[Any]"]]


@pytest.fixture
def held_open(app: FastAPI, db: Database) -> HeldOpen:
    """Send a poll of an agent, and return it when it has found nothing and waits."""

    async def send(agent: FakeAgent, poll: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        sql = "SELECT last_seen_at FROM agents WHERE id = $1"
        before = await db.fetchval(sql, agent.agent_id)
        sent = asyncio.create_task(poll)
        while await db.fetchval(sql, agent.agent_id) == before:
            await asyncio.sleep(0.01)
        assert not sent.done()
        return sent

    return send


@pytest.fixture
def dispatch(people: dict[str, dict[str, str]]) -> Callable[..., Awaitable[int]]:
    """Queue a command on web-1 over REST, as ann."""

    async def post(client: httpx2.AsyncClient, host: str = "web-1", **more: Any) -> int:
        body = {"type": "command", "hosts": [host], "payload": {"command": "true"}, **more}
        answer = await client.post("/api/v1/jobs", json=body, headers=people["ann"])
        assert answer.status_code == 201, answer.text
        job_id: int = answer.json()["jobs"][0]
        return job_id

    return post


@pytest.fixture
async def served(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the application behind a real server, with its lifespan running."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="warning", lifespan="on", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:
        await asyncio.sleep(0.01)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    limits = httpx2.Limits(max_connections=100)
    async with httpx2.AsyncClient(base_url=url, timeout=30, limits=limits) as client:
        yield client
    server.should_exit = True
    await running
    listening.close()
