"""A job prints without end: it costs the server, the host's disk and other agents' jobs next to nothing.

64 MiB in the suite, 1 GiB under `./run chaos`. How quick other agents' polls are meanwhile is
measured by `python -m benchmarks agents`.

Seen red: without the cap in `agent.output` the spool grew to the whole output.
"""

import asyncio
import time
from pathlib import Path

import pytest

from agent.protocol import CHUNK_BYTES, OUTPUT_CAP_BYTES
from benchmarks.ours import fleet
from store.connection import Database
from tests.live.agent_process import AgentProcess
from tests.live.claimer import Books, Claimer, at_work
from tests.live.sizes import LIMIT_SECONDS, size
from tests.live.web import web_process

pytestmark = pytest.mark.timeout(LIMIT_SECONDS)

MIB = 2**20
PRINTED = size(64, 1024) * MIB
OTHER_JOBS = 200
MEMORY_LIMIT = 300 * MIB
SLOWER = 10
"""So many times, at the most: the host that prints is on the same two cores here, which it keeps busy."""
ENDED = "SELECT ended_at IS NOT NULL FROM jobs WHERE id = $1"
KEPT = "SELECT sum(length(data)) FROM job_output WHERE job_id = $1 AND stream = 'stdout'"


async def test_a_gibibyte_of_output_is_capped_and_disturbs_nobody(
    db: Database, database_url: str, tmp_path: Path
) -> None:
    loud, *quiet = await fleet.seats(db, 4, "flood")
    flood = f"head -c {PRINTED} /dev/zero | tr '\\0' x"
    books = Books()
    most_spooled, done_meanwhile, took = 0, 0, 1.0
    async with web_process(database_url, tmp_path / "web.log") as web:
        agent = AgentProcess(tmp_path / "state", web.url, loud)
        agent.start()
        try:
            async with at_work([Claimer(web.url, seat, books) for seat in quiet]):
                began = time.monotonic()
                before = await fleet.queue(db, [seat.host_id for seat in quiet], OTHER_JOBS)
                while books.ended != set(before):
                    await asyncio.sleep(0.02)
                quiet_rate = len(before) / (time.monotonic() - began)
                (job,) = await fleet.queue(db, [loud.host_id], 1, flood)
                while not await db.fetchval("SELECT stdout_length > 0 FROM jobs WHERE id = $1", job):
                    await asyncio.sleep(0.01)
                began = time.monotonic()
                others = await fleet.queue(db, [seat.host_id for seat in quiet], OTHER_JOBS)
                while not await db.fetchval(ENDED, job):
                    most_spooled = max(most_spooled, agent.spooled())
                    if done_meanwhile < len(others):
                        done_meanwhile, took = len(books.ended) - len(before), time.monotonic() - began
                    await asyncio.sleep(0.02)
                while books.ended != {*before, *others}:
                    await asyncio.sleep(0.05)
        finally:
            await agent.stop()
        peak = web.peak_memory()
    row = await db.fetchrow(
        "SELECT status, exit_code, stdout_truncated, stdout_length FROM jobs WHERE id = $1", job
    )
    assert row is not None
    assert tuple(row) == ("completed", 0, True, OUTPUT_CAP_BYTES)
    assert await db.fetchval(KEPT, job) == OUTPUT_CAP_BYTES
    assert peak < MEMORY_LIMIT, f"the web process had {peak / MIB:.0f} MiB"
    headers = 4 * (OUTPUT_CAP_BYTES // CHUNK_BYTES + 1)
    assert 0 < most_spooled <= OUTPUT_CAP_BYTES + headers
    rate = done_meanwhile / took
    figures = f"{done_meanwhile} of {len(others)} other jobs, {rate:.0f}/s; before {quiet_rate:.0f}/s"
    print(f"{PRINTED // MIB} MiB printed; web process {peak / MIB:.0f} MiB; {figures}")
    assert rate > quiet_rate / SLOWER, f"other agents were disturbed: {figures}"
