"""One case on the stage: hosts and people act as the scenario says, and time passes when nothing else can.

What is open, and when it will be over by itself, is read from the store as the engine has left it. Decides no
route, resolves no value.
"""

import asyncio
import base64
import random
from collections import defaultdict
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from prefect.exceptions import Abort
from prefect.flow_runs import Pause  # type: ignore[attr-defined]  # Prefect re-exports it undeclared

from agent.protocol import StreamReport
from definitions.workflow import parse
from flows.lease import held_lease
from flows.process import EngineProcess
from flows.segment import run_segment
from store import instances, votes
from store.connection import Row
from store.engine import attention
from tests.definitions.reference_interpreter import NEVER, begun, limit_of
from tests.definitions.test_random_workflows import Walked, values_of
from tests.flows.stage import Stage, Watcher, compiled

_OPEN = """
SELECT s.step_id, s.kind, least(s.deadline, s.wake_at) AS moment, r.id AS request_id, r.digest
FROM step_results s LEFT JOIN approval_requests r
  ON r.instance_id = s.instance_id AND r.step_id = s.step_id AND r.visit = s.visit AND r.status = 'pending'
WHERE s.instance_id = $1 AND s.status IN ('waiting', 'running')
"""
_MOMENTS = """
SELECT deadline FROM approval_requests WHERE instance_id = $1 AND status = 'pending' AND deadline IS NOT NULL
UNION ALL SELECT deadline FROM checkouts WHERE instance_id = $1 AND status = 'active'
"""
_JOBS = """
SELECT j.id, j.step_id, h.name AS host, j.status, j.attempt, j.cancel_requested_at IS NOT NULL AS stopping,
       c.deadline AS until, c.ended_at IS NOT NULL AS without
FROM jobs j JOIN hosts h ON h.id = j.host_id LEFT JOIN checkouts c ON c.id = j.checkout_id
WHERE j.instance_id = $1 AND j.status IN ('queued', 'running') ORDER BY j.id
"""


class Play:
    """An instance from its start to its end, and what was seen of it."""

    def __init__(
        self, stage: Stage, document: dict[str, Any], scenario: dict[str, Any], *, hot: bool, now: datetime
    ) -> None:
        workflow, problems = parse(document)
        assert workflow is not None, problems
        self.stage, self.db = stage, stage.db
        self.workflow, self.document, self.scenario = workflow, document, scenario
        self.steps = {step["id"]: {**step, **step.get("config", {})} for step in steps_of(document)}
        self.process: EngineProcess = stage.hot if hot else stage.cold
        self.lazy = random.Random(str(document)).random() < 0.5
        """What is not over in time is not even begun."""
        self.began = now
        self.seen = stage.watcher = Watcher(now)
        self.given: dict[str, list[list[str]]] = defaultdict(list)
        """The values that came with each job."""
        self.instance = 0
        self._running: asyncio.Task[None] | None = None

    async def play(self) -> None:
        """From the start to the end."""
        await self._start()
        try:
            while True:
                await self._let_engine_work()
                if self._running is None and await self._status() in ("completed", "failed", "cancelled"):
                    return
                if not await self._hosts_work():
                    await self._let_time_pass()
        finally:
            if self._running is not None:
                self._running.cancel()
                await asyncio.gather(self._running, return_exceptions=True)

    async def walked(self) -> Walked:
        """How it ended, and of every step when it began and ended, how, and with which values."""
        rows = await self.db.fetch(
            "SELECT step_id, kind, status, input, ended_at FROM step_results WHERE instance_id = $1",
            self.instance,
        )
        found = {
            row["step_id"]: (
                self._seconds(self.seen.began[row["step_id"]]),
                self._seconds(row["ended_at"]),
                row["status"],
                values_of(row["kind"], row["input"]),
            )
            for row in rows
        }
        for step, at in self.seen.unsaid.items():
            assert step not in found or found[step][2] == "cancelled"
            found[step] = (self._seconds(self.seen.began[step]), self._seconds(at), "cancelled", None)
        return await self._status(), found

    async def ran_by(self) -> list[tuple[str, str]]:
        """Steps whose jobs ran as somebody, each with the step that has checked that out."""
        rows = await self.db.fetch(
            """SELECT DISTINCT j.step_id, c.step_id AS by FROM jobs j JOIN checkouts c ON c.id = j.checkout_id
               WHERE j.instance_id = $1""",
            self.instance,
        )
        return [(row["step_id"], row["by"]) for row in rows]

    def _seconds(self, moment: datetime) -> float:
        return (moment - self.began).total_seconds()

    async def _status(self) -> str:
        return str(await self.db.fetchval("SELECT status FROM instances WHERE id = $1", self.instance))

    async def _start(self) -> None:
        for step in self.steps.values():
            if step["type"] == "pam_checkout":
                await self.stage.identity(step["identity"], self.scenario["steps"][step["id"]]["username"])
        name = self.document["name"]
        async with self.db.transaction() as tx:
            # Not proved: what has no value on some path is played too.
            workflow = await tx.fetchval(
                "INSERT INTO workflows (name, draft, published_version) VALUES ($1, '{}', 1) RETURNING id",
                name,
            )
            await tx.execute(
                "INSERT INTO workflow_versions (workflow_id, version, definition) VALUES ($1, 1, $2)",
                workflow,
                self.document,
            )
            hosts, inputs = self.scenario["hosts"], self.scenario["inputs"]
            self.instance = await instances.start_in(self.db, tx, self.stage.starter, name, hosts, inputs)

    # -- the engine ----------------------------------------------------------------------------
    async def _let_engine_work(self) -> None:
        """Ring, or begin a segment if the store gives a reason to; until it only waits."""
        if self._running is not None:
            self.process.bells.ring(str(self.instance))
        elif self.instance in [idle.instance_id for idle in await attention.idle(self.db)]:
            self.seen.segment = None
            self._running = asyncio.create_task(self._segment())
        while self._running is not None:
            if self._running.done():
                self._running.result()
                self._running = None
            elif self.seen.segment is not None and self.seen.only_waits():
                return
            await asyncio.sleep(0.001)

    async def _segment(self) -> None:
        workflow = compiled(self.workflow)
        try:
            with suppress(Pause):
                async with held_lease(self.process, self.instance) as lease:
                    await run_segment(self.process, workflow, lease)
        except Abort as broken:
            raise AssertionError("a segment broke off") from broken

    # -- the hosts -----------------------------------------------------------------------------
    async def _hosts_work(self) -> bool:
        """Take up what is queued, and report what is not kept for later; whether there was anything."""
        jobs = await self.db.fetch(_JOBS, self.instance)
        if any(job["without"] and not job["stopping"] for job in jobs):
            await self.stage.keeper.deadlines(1)
            return True
        queued = [job for job in jobs if job["status"] == "queued" and not (self.lazy and self._is_cut(job))]
        if queued:
            await self._take_up(queued)
            return True
        running = [job for job in jobs if job["status"] == "running"]
        stopped = [job for job in running if job["stopping"]]
        in_time = [job for job in running if not job["stopping"] and not self._is_cut(job)]
        again = [job for job in in_time if not self._is_last_attempt(job)]
        last = [job for job in in_time if self._is_last_attempt(job) and not self._is_kept(job)]
        for job in stopped:
            await self._complete(job, outcome="cancelled", exit_code=None)
        for job in again or last:
            await self._report(job)
        return bool(stopped or again or last)

    async def _take_up(self, queued: list[Row]) -> None:
        for host in {job["host"] for job in queued}:
            agent, left = self.stage.agents[host], {job["id"] for job in queued if job["host"] == host}
            while left:  # it may be given others, too, that need not begin
                jobs = (await agent.poll(slots=64)).jobs
                assert jobs, f"jobs {left} on {host} are not handed over"
                for job in jobs:
                    assert (await agent.start(job.job_id, job.attempt)).accepted
                    step = await self.db.fetchval("SELECT step_id FROM jobs WHERE id = $1", job.job_id)
                    self.given[step].append([*job.payload.environment.values()])  # type: ignore[union-attr]
                left -= {job.job_id for job in jobs}

    def _told(self, step: str, host: str) -> dict[str, Any]:
        told = self.scenario["steps"][step]
        return {**told, **told.get("hosts", {}).get(host, {})}

    def _due(self, step: str) -> datetime:
        return self.seen.began[step] + timedelta(seconds=self.scenario["steps"][step]["seconds"])

    def _in_time(self, step: str) -> bool:
        return bool(self.scenario["steps"][step]["seconds"] <= limit_of(self.steps[step]))

    def _is_cut(self, job: Row) -> bool:
        """Whether its step's time, or that of what it runs by, is over before the job is."""
        due = self._due(job["step_id"])
        return not self._in_time(job["step_id"]) or (job["until"] is not None and job["until"] < due)

    def _is_last_attempt(self, job: Row) -> bool:
        failed = self._told(job["step_id"], job["host"])["exit_code"] != 0
        return not failed or job["attempt"] > self.steps[job["step_id"]].get("retries", 0)

    def _is_kept(self, job: Row) -> bool:
        """The last job of a step ends when the scenario says that the step does."""
        hosts = self.scenario["hosts"]
        left = begun(self.steps[job["step_id"]], [self._told(job["step_id"], host) for host in hosts])
        return bool(
            job["host"] == [host for host, one in zip(hosts, left, strict=True) if one is not NEVER][-1]
        )

    async def _report(self, job: Row) -> None:
        told = self._told(job["step_id"], job["host"])
        printed = told["stdout"].encode()
        stdout = StreamReport(
            length=len(printed), total=len(printed), inline=base64.b64encode(printed).decode()
        )
        await self._complete(job, exit_code=told["exit_code"], stdout=stdout)

    async def _complete(self, job: Row, **said: Any) -> None:
        reply = await self.stage.agents[job["host"]].complete(job["id"], job["attempt"], **said)
        assert reply.accepted, reply.reason

    # -- time ----------------------------------------------------------------------------------
    async def _let_time_pass(self) -> None:
        """Up to the next thing that happens: somebody acts, or something's time is over."""
        moments: list[tuple[datetime, Any]] = [
            (self._due(active.step), due) for active, due in self.seen.kept.items()
        ]
        for row in await self.db.fetch(_OPEN, self.instance):
            moments.append((row["moment"], None))
            if row["kind"] in ("command", "approval", "pam_checkout") and self._in_time(row["step_id"]):
                moments.append((self._due(row["step_id"]), row))
        moments += [(row["deadline"], None) for row in await self.db.fetch(_MOMENTS, self.instance)]
        ahead = [each for each in moments if each[0] is not None and each[0] > self.seen.now]
        assert ahead, f"nothing is to happen any more: {await self._standing()}"
        self.seen.now, what = min(ahead, key=lambda each: each[0])
        await self.stage.turn_clock(self.seen.now)
        if what is None:
            await self.stage.keeper.deadlines(1)
        elif isinstance(what, asyncio.Event):
            what.set()
        elif what["kind"] == "command":
            jobs = await self.db.fetch(_JOBS, self.instance)
            (job,) = (job for job in jobs if job["step_id"] == what["step_id"])
            await self._report(job)
        else:
            await self._vote(what)

    async def _vote(self, gate: Row) -> None:
        yes = self.scenario["steps"][gate["step_id"]]["outcome"] == "success"
        decision: Any = "approve" if yes else "reject"
        counted = await votes.vote(
            self.db, self.stage.voter, gate["request_id"], decision, "", gate["digest"]
        )
        assert counted.decided

    async def _standing(self) -> str:
        rows = await self.db.fetch(_OPEN, self.instance) + await self.db.fetch(_JOBS, self.instance)
        return f"{await self._status()} {[dict(row) for row in rows]}"


def steps_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """All steps of a document or branch, those within first."""
    found: list[dict[str, Any]] = []
    for step in document["steps"]:
        for branch in step.get("branches", ()):
            found += steps_of(branch)
        found.append(step)
    return found
