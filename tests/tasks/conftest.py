"""One step of a leased instance, moved by hand, and three hosts: no engine, no agent process."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from definitions.lifecycles.checkout import CheckoutStatus
from definitions.routing import Active, Advance
from definitions.workflow import parse
from store import checkouts
from store.checkouts import Wanted
from store.connection import Database
from store.engine import commits, leases, situation, workers
from tasks.kinds import KINDS
from tasks.step_run import Settled, StepRun, Waiting
from tests.store.jobs.conftest import FakeAgent
from tests.store.jobs.conftest import admin as admin
from tests.store.jobs.conftest import enrolled as enrolled

HOSTS = ("web-1", "web-2", "web-3")


@dataclass
class Bench:
    """The step, and the agents of its hosts."""

    run: StepRun
    agents: dict[str, FakeAgent]

    async def begin(self) -> Settled | Waiting:
        return await KINDS[self.run.step.type].begin(self.run)

    async def settle(self) -> Settled | Waiting:
        return await KINDS[self.run.step.type].settle(self.run)

    async def close(self, settled: Settled) -> None:
        """What it came to is committed; step `b` comes next, whatever its route."""
        await commits.close_step(
            self.run.db,
            self.run.lease,
            self.run.row({}),
            status=settled.status,
            outcome=settled.outcome,
            facts=settled.facts,
            reason=settled.reason,
            advance=Advance((Active("b", 1),), None, "b", ""),
            task_run_id=None,
        )

    async def taken_over(self) -> "Bench":
        """The same step in the hands of another worker, which knows what the store has."""
        db, about = self.run.db, self.run.situation
        await db.execute("UPDATE workers SET stopped_at = now()")
        worker = uuid4()
        await workers.register(db, worker, "test")
        lease = await leases.take(db, about.instance_id, worker)
        found = await situation.load(db, lease, about.workflow)
        return Bench(StepRun(db, lease, found, self.run.active), self.agents)

    async def jobs(self) -> dict[str, tuple[str, int]]:
        """Status and attempt of each host that has a job."""
        rows = await self.run.db.fetch(
            "SELECT h.name, j.status, j.attempt FROM jobs j JOIN hosts h ON h.id = j.host_id ORDER BY j.id"
        )
        return {row["name"]: (row["status"], row["attempt"]) for row in rows}

    async def does(self, host: str, exit_code: int = 0, attempt: int = 1) -> None:
        """The host's agent claims its job and runs it to this end."""
        job_id = await self.job_id(host)
        await self.agents[host].run(job_id, attempt, exit_code=exit_code)

    async def job_id(self, host: str) -> int:
        number: int = await self.run.db.fetchval(
            "SELECT j.id FROM jobs j JOIN hosts h ON h.id = j.host_id WHERE h.name = $1", host
        )
        return number

    async def pass_time(self, **units: float) -> None:
        """What was to come in so long is due now."""
        moments = (("deadline", "step_results"), ("wake_at", "step_results"), ("scheduled_at", "jobs"))
        for column, table in moments:
            await self.run.db.execute(
                f"UPDATE {table} SET {column} = {column} - $1::interval", timedelta(**units)
            )


MakeBench = Callable[..., Awaitable[Bench]]


@pytest.fixture
async def bench(db: Database, enrolled: Callable[[str], Awaitable[FakeAgent]]) -> MakeBench:
    async def make(
        place: Callable[[dict[str, Any]], list[dict[str, Any]]] = lambda step: [step], **fields: Any
    ) -> Bench:
        agents = {name: await enrolled(name) for name in HOSTS}
        if "type" not in fields:
            fields = {"type": "command", "command": "true", "hosts": list(HOSTS), **fields}
        step = {"id": "a", **fields}
        document = {"name": "w", "steps": place(step)}
        workflow, problems = parse(document)
        assert workflow is not None, problems
        number = await db.fetchval(
            "INSERT INTO workflows (name, draft, published_version) VALUES ('w', '{}', 1) RETURNING id"
        )
        await db.execute(
            "INSERT INTO workflow_versions (workflow_id, version, definition) VALUES ($1, 1, $2)",
            number,
            document,
        )
        instance = await db.fetchval(
            """INSERT INTO instances (workflow_id, workflow_version, host_ids, started_by_name, frontier)
               VALUES ($1, 1, '{}', 'ann', $2) RETURNING id""",
            number,
            [{"step": "a", "visit": 1}],
        )
        worker = uuid4()
        await workers.register(db, worker, "test")
        lease = await leases.take(db, instance, worker)
        found = await situation.load(db, lease, workflow)
        return Bench(StepRun(db, lease, found, Active("a", 1)), agents)

    return make


async def hold_elsewhere(db: Database, identity: str) -> tuple[int, int]:
    """Another instance of the workflow checks an identity out: the checkout and the instance."""
    instance = await db.fetchval(
        """INSERT INTO instances (workflow_id, workflow_version, host_ids, started_by_name, frontier)
           SELECT id, 1, '{}', 'bo', '[]' FROM workflows RETURNING id"""
    )
    async with db.transaction() as tx:
        held = await checkouts.request(tx, Wanted(instance, "out", 1, identity))
    assert held.status == CheckoutStatus.ACTIVE
    return held.id, instance
