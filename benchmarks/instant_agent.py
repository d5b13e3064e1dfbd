"""An agent that runs nothing: real enrolment, polls and reports over HTTP, each job done at once.

So that the figures show what the server costs, not what starting a process costs. It keeps when
each job arrived, by instance: jobs carry their instance in a value (see `ours.workflows`).
"""

import asyncio
import base64
import secrets
import time
from collections import defaultdict
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent import __version__
from agent.payloads import CommandPayload, ScriptPayload
from agent.protocol import (
    PREFIX,
    CompletedReport,
    EnrolReply,
    EnrolRequest,
    Held,
    JobMessage,
    PollReply,
    PollRequest,
    StartedReport,
)
from benchmarks.lean_http import LeanHttp

SLOTS = 64


class Deliveries:
    """When each instance's jobs arrived, and when each was reported done."""

    def __init__(self) -> None:
        self.arrived: defaultdict[int, list[float]] = defaultdict(list)
        self.done: defaultdict[int, list[float]] = defaultdict(list)
        self._changed = asyncio.Condition()

    async def note(self, kept: defaultdict[int, list[float]], instance: int, at: float) -> None:
        """Keep a moment and wake who waits for it."""
        kept[instance].append(at)
        async with self._changed:
            self._changed.notify_all()

    async def nth(self, instance: int, number: int, limit_seconds: float) -> float:
        """When the instance's n-th job arrived; waits for it."""
        async with asyncio.timeout(limit_seconds), self._changed:
            await self._changed.wait_for(lambda: len(self.arrived.get(instance, ())) >= number)
        return self.arrived[instance][number - 1]


def instance_of(job: JobMessage) -> int:
    """The instance a job says it belongs to, or 0."""
    payload = job.payload
    assert isinstance(payload, CommandPayload | ScriptPayload)
    return int(payload.environment.get("OPSGATE_V1") or payload.environment.get("PARAM_INSTANCE") or 0)


class InstantAgent:
    """One host's agent. `run` until cancelled."""

    def __init__(self, url: str, name: str, deliveries: Deliveries) -> None:
        self.name = name
        self._deliveries = deliveries
        self._boot = secrets.token_hex(16)
        self._holding: dict[tuple[int, int], Held] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()
        self._http = LeanHttp(url + PREFIX)

    async def enrol(self, org_secret: str) -> None:
        """Join as a host of this name."""
        key = X25519PrivateKey.generate().public_key().public_bytes_raw()
        request = EnrolRequest(
            org_secret=org_secret,
            hostname=self.name,
            os="linux",
            public_key=base64.b64encode(key).decode(),
            version=__version__,
        )
        reply = EnrolReply.model_validate(await self._http.post("/enrol", request.model_dump(mode="json")))
        self.sit(reply.token)

    def sit(self, token: str) -> None:
        """Speak with this token: for a host that is enrolled already."""
        self._http.headers["Authorization"] = f"Bearer {token}"

    async def run(self) -> None:
        """Poll, and do what comes, until cancelled."""
        try:
            while True:
                reply = PollReply.model_validate(await self._http.post("/poll", self._request()))
                now = time.monotonic()
                for job in reply.jobs:
                    self._take(job, now)
                await self._room()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._http.close()

    async def _room(self) -> None:
        """Until half of the slots are free: a poll without any would be held open, whatever is queued."""
        while len(self._holding) > SLOTS // 2:
            self._freed.clear()
            await self._freed.wait()

    def _request(self) -> dict[str, Any]:
        request = PollRequest(
            boot_id=self._boot,
            request_id=secrets.token_hex(16),
            holding=list(self._holding.values()),
            free_slots=SLOTS - min(SLOTS, len(self._holding)),
            version=__version__,
        )
        return request.model_dump(mode="json")

    def _take(self, job: JobMessage, now: float) -> None:
        key = (job.job_id, job.attempt)
        self._holding[key] = Held(job_id=job.job_id, attempt=job.attempt, state="accepted")
        task = asyncio.create_task(self._do(job, now))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _do(self, job: JobMessage, now: float) -> None:
        instance = instance_of(job)
        await self._deliveries.note(self._deliveries.arrived, instance, now)
        address = f"/jobs/{job.job_id}/{job.attempt}/state"
        try:
            await self._http.post(address, StartedReport(boot_id=self._boot).model_dump(mode="json"))
            report = CompletedReport(outcome="exited", exit_code=0)
            await self._http.post(address, report.model_dump(mode="json"))
            await self._deliveries.note(self._deliveries.done, instance, time.monotonic())
        finally:
            self._holding.pop((job.job_id, job.attempt), None)
            self._freed.set()
