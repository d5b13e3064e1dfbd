"""A small real server that speaks the agent's protocol, records all traffic and can misbehave;
and the real agent as a process of its own."""

import asyncio
import base64
import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from agent import identity

# The tests make users, services and packages; who is no login shell has no such tools in its path.
os.environ["PATH"] += os.pathsep + "/usr/sbin" + os.pathsep + "/sbin"

TOKEN = "oga_test-token"


@dataclass
class Job:
    """One attempt as the fake server knows it."""

    job_id: int
    attempt: int
    payload: dict[str, Any]
    sealed: str | None = None
    identity: str | None = None
    status: str = "queued"
    request_id: str = ""
    boot_id: str = ""
    cancel: bool = False
    chunks: dict[str, dict[int, tuple[int, bytes]]] = field(
        default_factory=lambda: {"stdout": {}, "stderr": {}}
    )
    report: dict[str, Any] | None = None
    refused: list[dict[str, Any]] = field(default_factory=list)
    """What was said of its end too late."""
    completed_posts: int = 0
    started_posts: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    running: asyncio.Event = field(default_factory=asyncio.Event)

    def output(self, stream: str) -> bytes:
        """The kept bytes of one stream, checked against its report when there is one."""
        chunks = self.chunks[stream]
        assert sorted(chunks) == list(range(len(chunks)))
        data = b""
        for seq in range(len(chunks)):
            offset, piece = chunks[seq]
            assert offset == len(data)
            data += piece
        if self.report is not None:
            said = self.report[stream]
            if said["inline"] is not None:
                assert not chunks
                data = base64.b64decode(said["inline"])
            assert len(data) == said["length"]
            assert hashlib.sha256(data).hexdigest() == said["sha256"]
        return data


@dataclass
class Fault:
    """Misbehave so many times at one call: poll, started, completed or output."""

    call: str
    kind: str  # drop (process, then lose the reply), refuse (do nothing, 503), html (a proxy's page)
    times: int = 1


class FakeServer:
    """The four calls, with a memory and switches."""

    def __init__(self) -> None:
        self.jobs: dict[tuple[int, int], Job] = {}
        self.polls: list[dict[str, Any]] = []
        self.calls: list[tuple[float, str, str]] = []
        self.enrolments: list[dict[str, Any]] = []
        self.faults: list[Fault] = []
        self.poll_status = 200
        self.before_started: Callable[[], None] = lambda: None
        self.forget: list[dict[str, int]] = []
        self.boot_id = ""
        self._changed = asyncio.Event()
        self._port = 0
        self._away = False
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._app = self._build()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def add(self, job_id: int, *, attempt: int = 1, sealed: str | None = None, **payload: Any) -> Job:
        """Queue a job; `command="..."` or `language=..., content=...`."""
        payload.setdefault("type", "command" if "command" in payload else "script")
        job = Job(job_id, attempt, payload, sealed)
        self.jobs[(job_id, attempt)] = job
        self.nudge()
        return job

    def cancel(self, job: Job) -> None:
        job.cancel = True
        self.nudge()

    def nudge(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def come(self) -> None:
        """Listen; on the same port as before after `go_away`."""
        self._away = False
        listener = socket.socket(proto=socket.IPPROTO_TCP)  # asyncio sets TCP_NODELAY only then
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._entry,
            ws="none",
            lifespan="off",
            log_level="error",
            http="h11",
            interface="asgi3",
            proxy_headers=False,
        )
        self._server = uvicorn.Server(config)
        self._server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        while not self._server.started:
            await asyncio.sleep(0.01)

    async def go_away(self) -> None:
        """Drop every connection and stop listening."""
        assert self._server is not None
        assert self._task is not None
        self._away = True
        self.nudge()  # held polls end
        self._server.should_exit = self._server.force_exit = True
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        await self._task

    # The calls ----------------------------------------------------------------------------

    async def _entry(self, scope: Any, receive: Any, send: Any) -> None:
        async def guarded(message: Any) -> None:
            if scope.get("state", {}).get("lose"):
                send.__self__.transport.abort()
                return
            await send(message)

        await self._app(scope, receive, guarded)

    def _fault(self, call: str, request: Request) -> Response | None:
        for fault in self.faults:
            if fault.call == call and fault.times > 0:
                fault.times -= 1
                if fault.kind == "refuse":
                    return JSONResponse({"title": "busy"}, status_code=503)
                if fault.kind == "html":
                    return Response("<h1>not here</h1>", status_code=404, media_type="text/html")
                request.state.lose = True
        return None

    def _build(self) -> FastAPI:
        app = FastAPI()

        @app.post("/agent/v1/enrol")
        async def enrol(request: Request) -> Response:
            body = await request.json()
            self.enrolments.append(body)
            if body["org_secret"] != "ogs_right":
                return problem(401, "The organisation secret is not known.")
            return JSONResponse({"agent_id": 7, "host_id": 3, "token": TOKEN})

        @app.post("/agent/v1/poll")
        async def poll(request: Request) -> Response:
            body = await request.json()
            self.polls.append(body)
            if request.headers["Authorization"] != f"Bearer {TOKEN}" or self.poll_status != 200:
                return problem(self.poll_status, "Refused for this test.")
            if (fault := self._fault("poll", request)) is not None:
                return fault
            return JSONResponse(await self._poll(body))

        @app.post("/agent/v1/jobs/{job_id}/{attempt}/state")
        async def state(job_id: int, attempt: int, request: Request) -> Response:
            body = await request.json()
            call = str(body["state"])
            self.calls.append((time.monotonic(), call, f"{job_id}/{attempt}"))
            if (fault := self._fault(call, request)) is not None:
                return fault
            reason = self._report(self.jobs[(job_id, attempt)], body)
            return JSONResponse(
                {"accepted": not reason, "reason": reason}, status_code=409 if reason else 200
            )

        @app.put("/agent/v1/jobs/{job_id}/{attempt}/output")
        async def output(
            job_id: int, attempt: int, stream: str, seq: int, offset: int, request: Request
        ) -> Response:
            data = await request.body()
            assert 0 < len(data) <= 64 * 1024
            if (fault := self._fault("output", request)) is not None:
                return fault
            known = self.jobs[(job_id, attempt)].chunks[stream].setdefault(seq, (offset, data))
            assert known == (offset, data), "the same seq was cut otherwise"
            return Response(status_code=204)

        return app

    async def _poll(self, body: dict[str, Any]) -> dict[str, Any]:
        held = {(one["job_id"], one["attempt"]) for one in body["holding"]}
        if body["boot_id"] != self.boot_id:
            self.boot_id = body["boot_id"]
            for key, job in self.jobs.items():
                if job.status == "pending":
                    job.status = "queued"
                elif job.status == "running" and key not in held:
                    job.status = "lost"
                    job.ended.set()
        until = time.monotonic() + min(body["wait_seconds"], 0.5)
        this = len(self.polls)
        self.nudge()
        while True:
            if this != len(self.polls):
                return self._wishes({**body, "free_slots": 0}, held)  # a newer poll took its place
            reply = self._wishes(body, held)
            left = until - time.monotonic()
            if reply["jobs"] or reply["cancel"] or reply["forget"] or left <= 0 or self._away:
                return reply
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)

    def _wishes(self, body: dict[str, Any], held: set[tuple[int, int]]) -> dict[str, Any]:
        ours = [job for job in self.jobs.values() if job.request_id == body["request_id"]]
        free = body["free_slots"] - len(ours)
        for key, job in self.jobs.items():
            if job.status == "queued" and free > 0 and key not in held:
                job.status, job.request_id, job.boot_id = "pending", body["request_id"], body["boot_id"]
                ours.append(job)
                free -= 1
        forget, self.forget = self.forget, []
        return {
            "jobs": [
                {name: getattr(j, name) for name in ("job_id", "attempt", "payload", "sealed", "identity")}
                for j in ours
            ],
            "cancel": [
                {"job_id": j.job_id, "attempt": j.attempt}
                for j in self.jobs.values()
                if j.cancel and j.status in ("pending", "running")
            ],
            "forget": forget,
            "server_time": datetime.now(UTC).isoformat(),
        }

    def _report(self, job: Job, body: dict[str, Any]) -> str:
        """Take a report; a reason when it is refused."""
        if body["state"] == "started":
            job.started_posts += 1
            self.before_started()
            if job.status == "running" and job.boot_id == body["boot_id"]:
                return ""
            if job.status != "pending":
                return f"it is {job.status}"
            job.status = "running"
            job.running.set()
            return ""
        job.completed_posts += 1
        if job.report is not None:
            return "" if job.report == body else "it has ended otherwise"
        if job.status not in ("pending", "running"):
            job.refused.append(body)
            return f"it is {job.status}"
        job.status, job.report = "ended", body
        job.ended.set()
        return ""


def problem(status: int, detail: str) -> JSONResponse:
    return JSONResponse(
        {"title": "no", "detail": detail}, status_code=status, media_type="application/problem+json"
    )


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    """A listening fake server."""
    fake = FakeServer()
    await fake.come()
    yield fake
    await fake.go_away()


@dataclass
class Runs:
    """The agent on one state folder, as a process that can be killed and started again."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        environment = {"PATH": os.environ["PATH"], "SECRET_OF_THE_AGENT": "must not reach a job"}
        with (self.folder.parent / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agent", "run", "--state", str(self.folder), *options],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self.process

    @property
    def log(self) -> str:
        return (self.folder.parent / "agent.log").read_text()

    def kill_9(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    async def exit_code(self, seconds: float = 10) -> int:
        assert self.process is not None
        return await asyncio.to_thread(self.process.wait, seconds)


@pytest.fixture
async def agent(server: FakeServer, tmp_path: Path) -> AsyncIterator[Runs]:
    """An enrolled agent that is not running yet."""
    folder = tmp_path / "state"
    identity.prepare_folder(folder)
    identity.save(folder, identity.Identity(server.url, 7, 3, None, TOKEN, X25519PrivateKey.generate()))
    runs = Runs(folder)
    yield runs
    if runs.process is not None and runs.process.poll() is None:
        runs.process.send_signal(signal.SIGTERM)
        runs.process.send_signal(signal.SIGTERM)
        try:
            await runs.exit_code()
        except subprocess.TimeoutExpired:
            runs.process.kill()
            runs.process.wait()
            raise


@pytest.fixture
def fault(server: FakeServer) -> Callable[..., Fault]:
    """Have the server misbehave at a call; the fault's `times` count down as it is hit."""

    def add(call: str, kind: str, times: int = 1) -> Fault:
        one = Fault(call, kind, times)
        server.faults.append(one)
        return one

    return add


@pytest.fixture
def soon() -> Callable[..., Awaitable[None]]:
    """Wait until something holds, or fail."""

    async def wait(holds: Callable[[], object], seconds: float = 10) -> None:
        until = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < until, "it did not happen in time"
            await asyncio.sleep(0.01)

    return wait


@pytest.fixture
def ended() -> Callable[..., Awaitable[dict[str, Any]]]:
    """Wait for an attempt's end and give its report."""

    async def wait(job: Job, seconds: float = 15) -> dict[str, Any]:
        await asyncio.wait_for(job.ended.wait(), seconds)
        assert job.report is not None, job.status
        return job.report

    return wait
