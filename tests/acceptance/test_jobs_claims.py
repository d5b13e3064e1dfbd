"""Eight claimers at one queue: each job is claimed once, by its own host's agent, in the order of priority.

1,000 jobs in the suite, 10,000 under `./run chaos`.
"""

import asyncio
from collections import Counter

import pytest

from agent.protocol import Held, PollReply, PollRequest
from benchmarks.ours import fleet
from benchmarks.ours.fleet import Seat
from definitions.permissions import Actor
from store import claims
from store.connection import Database
from tests.live.sizes import LIMIT_SECONDS, size

pytestmark = pytest.mark.timeout(LIMIT_SECONDS)

JOBS = size(1_000, 10_000)
HOSTS = 4
CLAIMERS = 8

LOG_EVERY_CLAIM = """
CREATE TABLE claim_log (job_id bigint, host_id bigint, agent_id bigint);
CREATE FUNCTION log_claim() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO claim_log VALUES (NEW.id, NEW.host_id, NEW.agent_id); RETURN NULL; END $$;
CREATE TRIGGER log_claim AFTER UPDATE ON jobs FOR EACH ROW
    WHEN (NEW.status = 'pending') EXECUTE FUNCTION log_claim();
"""


async def poll(
    db: Database, seat: Seat, request_id: str, holding: set[int], slots: int, *, again: bool = True
) -> PollReply:
    request = PollRequest(
        boot_id="boot",
        request_id=request_id,
        holding=[Held(job_id=job, attempt=1, state="accepted") for job in holding],
        free_slots=slots,
    )
    actor = Actor("agent", seat.agent_id, seat.name, host_id=seat.host_id)
    return await claims.poll(db, actor, request, again=again)


async def seated(db: Database, hosts: int) -> list[Seat]:
    """Agents that have polled once: their process is known."""
    seats = await fleet.seats(db, hosts, "claims")
    for seat in seats:
        await poll(db, seat, "hello", set(), 0, again=False)
    return seats


async def test_eight_claimers_claim_every_job_once_and_for_its_own_host(db: Database) -> None:
    seats = await seated(db, HOSTS)
    ids = await fleet.queue(db, [seat.host_id for seat in seats], JOBS)
    await db.execute(LOG_EVERY_CLAIM)
    delivered: dict[int, set[int]] = {seat.agent_id: set() for seat in seats}

    async def claimer(number: int) -> None:
        seat = seats[number % HOSTS]  # two on each host, as when a poll and its repeat meet
        mine = delivered[seat.agent_id]
        rounds = 0
        while True:
            rounds += 1
            reply = await poll(db, seat, f"{number}-{rounds}", mine, 7)
            if not reply.jobs:
                return
            mine.update(job.job_id for job in reply.jobs)

    await asyncio.gather(*(claimer(number) for number in range(CLAIMERS)))
    log = await db.fetch("SELECT * FROM claim_log")
    assert Counter(row["job_id"] for row in log) == dict.fromkeys(ids, 1)
    agent_of = {seat.host_id: seat.agent_id for seat in seats}
    assert [row for row in log if row["agent_id"] != agent_of[row["host_id"]]] == []
    host_of = {row["job_id"]: row["host_id"] for row in log}
    for seat in seats:
        assert {host_of[job] for job in delivered[seat.agent_id]} == {seat.host_id}
    assert sum(len(mine) for mine in delivered.values()) == JOBS


@pytest.mark.parametrize("slots", [1, 7])
async def test_one_claimer_gets_the_jobs_exactly_in_order(db: Database, slots: int) -> None:
    (seat,) = await seated(db, 1)
    await fleet.queue(db, [seat.host_id], JOBS)
    rows = await db.fetch("SELECT id FROM jobs ORDER BY priority, scheduled_at, id")
    came: list[int] = []
    while jobs := (await poll(db, seat, str(len(came)), set(), slots)).jobs:
        now = [job.job_id for job in jobs]
        await db.execute("UPDATE jobs SET status = 'running' WHERE id = ANY ($1)", now)
        came += now
    assert came == [row["id"] for row in rows]
    assert came != sorted(came), "the order of the ids proves nothing"


async def test_a_more_urgent_job_that_comes_later_is_claimed_next(db: Database) -> None:
    (seat,) = await seated(db, 1)
    await fleet.queue(db, [seat.host_id], 100)
    first = (await poll(db, seat, "a", set(), 5)).jobs
    held = {job.job_id for job in first}
    await db.execute("UPDATE jobs SET priority = greatest(priority, 1) WHERE status = 'queued'")
    (late,) = await fleet.queue(db, [seat.host_id], 1)
    await db.execute("UPDATE jobs SET priority = 0, scheduled_at = now() WHERE id = $1", late)
    (next_,) = (await poll(db, seat, "b", held, 1)).jobs
    assert next_.job_id == late
