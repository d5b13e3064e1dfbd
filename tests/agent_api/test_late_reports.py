"""Reports that come twice, out of order, too late, or of an attempt that is over: none moves a job.

A thousand of each kind over the agents' own routes, in one seeded random order, among jobs in every
state. Each is accepted as the repeat of what is so already, or refused with 409; what the store holds
of the jobs, their attempts and their output is the same before and after.
"""

import asyncio
import base64
import random
from itertools import cycle

import pytest

EACH = 1000
JOBS = 10
"""Of each kind of history."""

QUIT = {"outcome": "exited", "exit_code": 3, "stdout": {"length": 2, "total": 2, "inline": "b2s="}}
OTHERS = [
    {"outcome": "exited", "exit_code": 0},
    {"outcome": "exited", "exit_code": 4},
    {"outcome": "timeout", "exit_code": None},
    {"outcome": "cancelled", "exit_code": None},
    {"outcome": "interrupted", "exit_code": None},
    {"outcome": "refused", "exit_code": None, "reason": "no"},
]
LATE_OUTPUT = base64.b64encode(b"late").decode()


class Fleet:
    """One host's jobs, each brought to where the reports will find it."""

    def __init__(self, client, agent, dispatch, headers, db):
        self.client, self.agent, self.dispatch, self.headers, self.db = client, agent, dispatch, headers, db

    async def claimed(self):
        job_id = await self.dispatch(self.client)
        (job,) = (await self.agent.poll(free_slots=1, holding=await self.held_but(job_id)))["jobs"]
        assert job["job_id"] == job_id
        return job_id

    async def running(self):
        job_id = await self.claimed()
        assert (await self.agent.start(job_id)).status_code == 200
        return job_id

    async def ended(self):
        job_id = await self.running()
        assert (await self.agent.complete(job_id, **QUIT)).status_code == 200
        return job_id

    async def act(self, job_id, verb):
        answer = await self.client.post(f"/api/v1/jobs/{job_id}/{verb}", headers=self.headers)
        assert answer.status_code == 200, answer.text

    async def next_attempt(self, number):
        """Attempt 1 has failed; attempt 2 is queued, pending, running, or has ended as well."""
        job_id = await self.ended()
        await self.act(job_id, "retry")
        if number % 4 == 0:
            later = "UPDATE jobs SET scheduled_at = now() + interval '1 day' WHERE id = $1"
            await self.db.execute(later, job_id)
            return job_id
        await self.db.execute("UPDATE jobs SET priority = 0 WHERE id = $1", job_id)
        await self.agent.poll(free_slots=1, holding=await self.held_but(job_id))
        if number % 4 > 1:
            assert (await self.agent.start(job_id, 2)).status_code == 200
        if number % 4 > 2:
            assert (await self.agent.complete(job_id, 2, exit_code=0)).status_code == 200
        return job_id

    async def held_but(self, job_id):
        rows = await self.db.fetch(
            "SELECT id, attempt FROM jobs WHERE status IN ('pending', 'running') AND id <> $1", job_id
        )
        return [{"job_id": row["id"], "attempt": row["attempt"], "state": "started"} for row in rows]

    async def cancelled(self, number):
        """Before its start, or while it ran, as the agent itself has said."""
        job_id = await (self.claimed() if number % 2 else self.running())
        await self.act(job_id, "cancel")
        if number % 2 == 0:
            said = {"outcome": "cancelled", "exit_code": None, "reason": "It was cancelled."}
            assert (await self.agent.complete(job_id, **said)).status_code == 200
        return job_id

    async def timed_out(self):
        from store import jobs

        job_id = await self.running()
        await self.db.execute("UPDATE jobs SET started_at = now() - interval '1 day' WHERE id = $1", job_id)
        assert await jobs.time_out_running(self.db) == 1
        return job_id


@pytest.fixture
async def fleet(anyone, enrolled, dispatch, people, db):
    return Fleet(anyone, await enrolled(anyone), dispatch, people["ann"], db)


async def everything(db):
    """All that the store holds of jobs, by value."""
    tables = {
        "jobs": "id",
        "job_attempts": "job_id, attempt",
        "job_output": "job_id, attempt, stream, seq",
    }
    return {
        table: [tuple(row) for row in await db.fetch(f"SELECT * FROM {table} ORDER BY {order}")]
        for table, order in tables.items()
    }


def reports(random_, jobs):
    """A thousand of each kind: (kind, job, attempt, body, the statuses that may answer)."""
    for kind, ids in jobs.items():
        for job_id, _ in zip(cycle(ids), range(EACH), strict=False):
            other = random_.choice(OTHERS)
            late = {**other, "stdout": {"length": 4, "total": 4, "inline": LATE_OUTPUT}}
            match kind:
                case "duplicate":
                    yield kind, job_id, 1, QUIT, {200}
                case "reordered":  # an end before the start; or a start, or another end, after the end
                    pending, ended = job_id
                    choice = random_.randrange(3)
                    if choice == 0:
                        yield kind, pending, 1, {"outcome": random_.choice(["exited", "timeout"])}, {409}
                    elif choice == 1:
                        yield kind, ended, 1, {"state": "started", "boot_id": "b"}, {409}
                    else:
                        yield kind, ended, 1, late, {409}
                case "stale attempt":
                    body = random_.choice([QUIT, late, {"state": "started", "boot_id": "b"}])
                    yield kind, job_id, 1, body, {200} if body is QUIT else {409}
                case "after cancel" | "after timeout":
                    yield kind, job_id, 1, late, {409}


async def test_a_thousand_of_each_kind_of_wrong_report_change_nothing(fleet, db):
    seed = random.randrange(2**32)
    random_ = random.Random(seed)
    jobs = {
        "duplicate": [await fleet.ended() for _ in range(JOBS)],
        "reordered": [(await fleet.claimed(), await fleet.ended()) for _ in range(JOBS)],
        "stale attempt": [await fleet.next_attempt(number) for number in range(JOBS)],
        "after cancel": [await fleet.cancelled(number) for number in range(JOBS)],
        "after timeout": [await fleet.timed_out() for _ in range(JOBS)],
    }
    stands = dict(await db.fetch("SELECT status, count(*) FROM jobs GROUP BY status"))
    assert set(stands) == {"queued", "pending", "running", "completed", "failed", "cancelled", "timeout"}
    before = await everything(db)
    todo = list(reports(random_, jobs))
    random_.shuffle(todo)
    answered = dict.fromkeys(jobs, 0)
    queue = iter(todo)

    async def send():
        for kind, job_id, attempt, body, expected in queue:
            path = f"jobs/{job_id}/{attempt}/state"
            answer = await fleet.agent.post(path, {"state": "completed", "exit_code": 0, **body})
            assert answer.status_code in expected, (seed, kind, job_id, body, answer.text)
            assert answer.json()["accepted"] == (answer.status_code == 200)
            answered[kind] += 1

    await asyncio.gather(*(send() for _ in range(6)))
    assert answered == dict.fromkeys(jobs, EACH)
    assert await everything(db) == before, seed
