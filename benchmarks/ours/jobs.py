"""The job queue: jobs a second through real agents' calls, and what a claim costs in a full table.

Beside it, in the same run and on the same PostgreSQL: procrastinate, and the bare SQL in pgbench.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from agent.protocol import CompletedReport, PollRequest, StartedReport
from benchmarks import spent
from benchmarks.figure import OURS, Figure, of
from benchmarks.instant_agent import InstantAgent
from benchmarks.measure import spread
from benchmarks.ours import fleet, fresh
from benchmarks.ours.fleet import Seat
from benchmarks.ours.installation import Installation
from benchmarks.peers import queues
from definitions.permissions import Actor
from store import claims, job_reports
from store.connection import Database

RATE = "jobs/s, claimed and completed"
AGENTS = 8
ROUNDS = 3
"""Each contender in turn, so often: the median counts, for the machine is not alone."""
_LIMIT_SECONDS = 300
_LEFT = "SELECT count(*) FROM jobs WHERE id > $1 AND ended_at IS NULL"


async def measure(here: Installation, quick: bool) -> list[Figure]:
    """Every figure of this part."""
    count, finished, claimed, rounds = (400, 20_000, 100, 1) if quick else (4000, 1_000_000, 1000, ROUNDS)
    async with _at_work(here) as seats:
        await _drained(here, seats, count // 4)
        rates, peers, cpu = [], [], dict.fromkeys(here.pids(), 0.0)
        for _ in range(rounds):
            before = spent.cpu_seconds(here.pids())
            rates.append(await _drained(here, seats, count))
            for name, used in spent.since(before, here.pids()).items():
                cpu[name] += used / count / rounds
            peers.append(await queues.beside(here, count, AGENTS))
    note = (
        f"{AGENTS} agents over HTTP: claim, started and completed of each job, one transaction at least each"
    )
    return [
        of(RATE, OURS, spread(rates), "/s", note),
        *queues.figures(RATE, peers),
        *(Figure(f"CPU per job: {name}", OURS, cpu[name], "s") for name in ("web", "PostgreSQL")),
        *await _claims(here, finished, claimed),
    ]


@contextlib.asynccontextmanager
async def _at_work(here: Installation) -> AsyncIterator[list[Seat]]:
    """Instant agents on hosts of their own."""
    seats = await fleet.seats(here.db, AGENTS, "queue")
    running = []
    for seat in seats:
        agent = InstantAgent(here.stack.url, seat.name, here.deliveries)
        agent.sit(seat.token)
        running.append(asyncio.create_task(agent.run(), name=seat.name))
    try:
        yield seats
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _drained(here: Installation, seats: list[Seat], count: int) -> float:
    """Queue so many jobs at once and see them all ended; how many a second."""
    newest = await here.db.fetchval("SELECT coalesce(max(id), 0) FROM jobs")
    began = time.monotonic()
    await fleet.queue(here.db, [seat.host_id for seat in seats], count)
    async with asyncio.timeout(_LIMIT_SECONDS):
        while await here.db.fetchval(_LEFT, newest):
            await asyncio.sleep(0.02)
    return count / (time.monotonic() - began)


async def _claims(here: Installation, finished: int, count: int) -> list[Figure]:
    """Claims in turn from a table that is empty otherwise and from one with finished jobs."""
    async with fresh.store(here, "queue_empty") as empty, fresh.store(here, "queue_full") as full:
        lanes = {db: await _lane(db, finished if db is full else 0, count) for db in (empty, full)}
        times: dict[Database, list[float]] = {empty: [], full: []}
        for number in range(count):
            for db in (empty, full) if number % 2 else (full, empty):
                times[db].append(await _one_claim(db, lanes[db], number))
    label = f"{finished:,} finished jobs"
    in_empty, in_full = spread(times[empty][10:]), spread(times[full][10:])
    note = "medians of a poll that claims one job; in turn from both tables"
    return [
        of("claim, empty table", OURS, in_empty, "s", "a poll's statements, without HTTP"),
        of(f"claim, {label}", OURS, in_full, "s"),
        Figure(f"claim beside {label}", OURS, in_full.median / in_empty.median, "x", note=note),
    ]


async def _lane(db: Database, finished: int, count: int) -> Seat:
    (seat,) = await fleet.seats(db, 1, "lane")
    if finished:
        await fleet.finished(db, seat, finished)
    await fleet.queue(db, [seat.host_id], count)
    await db.execute("VACUUM ANALYZE")
    return seat


async def _one_claim(db: Database, seat: Seat, number: int) -> float:
    """Claim one job, and, untimed, work it off."""
    actor = Actor("agent", seat.agent_id, seat.name, host_id=seat.host_id)
    request = PollRequest(boot_id="boot", request_id=str(number))
    began = time.perf_counter()
    reply = await claims.poll(db, actor, request)
    took = time.perf_counter() - began
    (job,) = reply.jobs
    for said in (StartedReport(boot_id="boot"), CompletedReport(outcome="exited", exit_code=0)):
        answer = await job_reports.report(db, actor, job.job_id, job.attempt, said)
        assert answer.accepted
    return took
