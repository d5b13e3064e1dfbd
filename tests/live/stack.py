"""Runs the embedded stack in a thread, so that tests can talk to it and hurt its processes."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest

from deployments.cli.profile import NAME, read
from deployments.stack.data_folder import DataFolder
from deployments.stack.embedded import Stack, running
from deployments.stack.first_start import SECOND_PASSWORD, SECOND_PERSON
from tests.live.of_user import OfUser

T = TypeVar("T")


class Away(Exception):
    """The server says that a part of it does not answer now; try again."""


class LiveStack:
    """A running stack, an administrator's client, the second person's, and ways to break it."""

    def __init__(self, path: Path) -> None:
        self.folder = DataFolder(path)
        self._failpoint = path / "failpoint"
        self._patch = pytest.MonkeyPatch()
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="live-stack")
        self.stack: Stack
        self.admin: httpx2.Client
        self.bob: httpx2.Client

    # -- life ----------------------------------------------------------------------------------
    def start(self) -> None:
        self._patch.setenv("OPSGATE_FAILPOINT_FILE", str(self._failpoint))  # what it starts inherits it
        # A part that dies again and again is given up; here it dies on purpose, many times.
        self._patch.setattr("deployments.stack.processes.RESTART_WINDOW", 20.0)
        self._thread.start()
        self._ready.wait(180)
        if self._failure is not None:
            raise RuntimeError(f"the stack did not start; logs in {self.folder.path}") from self._failure
        profile = read(self.folder.path / NAME)
        assert profile is not None
        base = f"{self.stack.url}/api/v1"
        self.admin = httpx2.Client(
            base_url=base, headers={"Authorization": f"Bearer {profile.token}"}, timeout=30
        )
        password = self.folder.secret(SECOND_PASSWORD)
        self.bob = httpx2.Client(base_url=base, timeout=30)
        signed_in = self.bob.post("/sessions", json={"name": SECOND_PERSON, "password": password})
        assert signed_in.status_code in (200, 201), signed_in.text
        self.bob.headers["X-CSRF-Token"] = signed_in.json()["csrf_token"]

    def stop(self) -> None:
        for client in (self.admin, self.bob):
            client.close()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)
        self._patch.undo()

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            async with running(self.folder, second_person=True, say=lambda _: None) as stack:
                self.stack = stack
                self._ready.set()
                await self._stop.wait()
        except BaseException as failure:
            self._failure = failure
            self._ready.set()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the stack's own loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    # -- processes -----------------------------------------------------------------------------
    def worker_with(self, **environment: str) -> None:
        """Run the worker anew with more environment: a shorter hot wait, other limits."""
        child = self.stack.program("worker", "deployments.cli", "worker")
        self.call(
            self.stack.processes.replace(replace(child, environment={**child.environment, **environment}))
        )

    @contextmanager
    def killed_at(self, point: str) -> Iterator[Callable[[], bool]]:
        """The process that comes to this point first is killed there; what is given says whether one was."""
        hit = self._failpoint.with_suffix(".hit")
        hit.unlink(missing_ok=True)
        self._failpoint.write_text(point, encoding="utf-8")
        try:
            yield hit.exists
        finally:
            self._failpoint.unlink(missing_ok=True)

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to a part; returns its process id."""
        pid = self.stack.processes.pid(name)
        assert pid is not None, f"{name} does not run"
        os.kill(pid, number)
        return pid

    def add_agent(self, host: str, as_user: OfUser | None = None) -> str:
        """Enrol a host and run its agent, as root unless another user is named; returns the name of its
        process."""
        state = self.folder.path / f"agent-{host}"
        answer = self.admin.post("/org-secrets", json={"name": host, "max_uses": 1, "lifetime_minutes": 10})
        assert answer.status_code == 201, answer.text
        secret = state.with_suffix(".secret")
        secret.write_text(answer.json()["secret"], encoding="utf-8")
        self.call(self._enrol(host, state, secret))
        name = f"agent-{host}"
        child = self.stack.program(name, "agent", "run", "--state", str(state), "--grace", "1")
        if as_user is not None:
            child = as_user.runs(child, state)
        self.call(self.stack.processes.replace(child))
        until(lambda: self.host(host).get("online"), 60, f"{host} online")
        return name

    async def _enrol(self, host: str, state: Path, secret: Path) -> None:
        arguments = ["enrol", "--server", self.stack.url, "--secret-file", str(secret), "--state", str(state)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent", *arguments, "--hostname", host, env=dict(self.stack.environment)
        )
        assert await process.wait() == 0

    # -- the product ---------------------------------------------------------------------------
    def host(self, name: str) -> dict[str, Any]:
        answer = self.admin.get(f"/hosts/{name}")
        return answer.json() if answer.status_code == 200 else {}

    def publish(self, document: dict[str, Any]) -> None:
        """Make a workflow of this name be this, and publish it."""
        name = document["name"]
        answer = self.admin.put(f"/workflows/by-name/{name}", params={"publish": "true"}, json=document)
        assert answer.status_code in (200, 201), answer.text

    def launch(self, workflow: str, hosts: list[str], **inputs: Any) -> int:
        answer = self.admin.post(f"/workflows/{workflow}/start", json={"hosts": hosts, "inputs": inputs})
        assert answer.status_code == 201, answer.text
        number: int = answer.json()["id"]
        return number

    def instance(self, number: int) -> dict[str, Any]:
        answer = self.admin.get(f"/instances/{number}")
        if answer.status_code == 503:
            raise Away(answer.text)
        assert answer.status_code == 200, answer.text
        view: dict[str, Any] = answer.json()
        return view

    def ended(self, number: int, seconds: float = 60) -> dict[str, Any]:
        """The instance once it has ended."""
        until(lambda: self.instance(number)["ended_at"], seconds, f"instance {number} to end", self, number)
        return self.instance(number)

    def gate(self, number: int, seconds: float = 30) -> dict[str, Any]:
        """The open approval of an instance, once there is one and the instance is paused."""
        until(lambda: self.instance(number)["status"] == "paused", seconds, f"instance {number} to pause")
        (row,) = self.instance(number)["approvals"]
        view: dict[str, Any] = self.bob.get(f"/approvals/{row['id']}").json()
        return view

    def vote(self, gate: dict[str, Any], decision: str = "approve") -> httpx2.Response:
        body = {"decision": decision, "comment": "by hand", "digest": gate["digest"]}
        return self.bob.post(f"/approvals/{gate['id']}/vote", json=body)

    def prefect(self) -> httpx2.Client:
        """Prefect's API as an outsider with the auth string has it."""
        auth = self.stack.prefect.auth_file.read_text(encoding="utf-8").strip()
        name, _, password = auth.partition(":")
        return httpx2.Client(base_url=self.stack.prefect.api_url, auth=(name, password), timeout=30)


def until(
    true: Callable[[], Any],
    seconds: float,
    what: str,
    live: LiveStack | None = None,
    number: int | None = None,
) -> None:
    """Wait for something to be so; the failure says what was waited for and how the instance stands."""
    begun = time.monotonic()
    while True:
        try:
            if true():
                return
        except (httpx2.TransportError, Away):
            pass
        if time.monotonic() > begun + seconds:
            raise AssertionError(f"waited {seconds} s for {what} {_standing(live, number)}")
        # Often at first; every look costs all parts of the stack something.
        time.sleep(0.05 if time.monotonic() - begun < 1 else 0.2)


def _standing(live: LiveStack | None, number: int | None) -> str:
    """How the instance stands, or, if nobody answers, what the stack and PostgreSQL's log say."""
    if live is None or number is None:
        return ""
    try:
        return str(live.instance(number))
    except (httpx2.TransportError, Away) as error:
        gave_up = live.stack.processes.gave_up
        lost = f"given up: {gave_up.result().name}" if gave_up.done() else "nothing was given up"
        log = live.folder.log("postgres").read_text(encoding="utf-8", errors="replace")
        lines = [line for line in log.splitlines() if "FATAL" not in line and "DETAIL" not in line]
        return "\n".join([f"{error!r}; {lost}; PostgreSQL's log ends:", *lines[-20:]])
