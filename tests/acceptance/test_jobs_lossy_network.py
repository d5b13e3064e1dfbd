"""Between a real agent and the server every tenth reply is lost and every twentieth request comes twice.

The server has acted before a reply is lost. Each job appends its number to a ledger: what ran is
what stands there. 200 jobs in the suite, 5,000 under `./run chaos`.

Seen red: with `_started` in `store.job_reports` refusing the repeat of a start whose acknowledgement
was lost, jobs are never done.
"""

import asyncio
from pathlib import Path

import pytest

from benchmarks.ours import fleet
from store.connection import Database
from tests.acceptance.conftest import Ledger
from tests.live.agent_process import AgentProcess
from tests.live.lossy_proxy import Faults, lossy_proxy
from tests.live.sizes import CHAOS, LIMIT_SECONDS, size
from tests.live.web import web_process

pytestmark = pytest.mark.timeout(LIMIT_SECONDS)

JOBS = size(200, 5_000)
PATIENCE_SECONDS = 3000 if CHAOS else 100
UNFINISHED = "SELECT count(*) FROM jobs WHERE status IN ('queued', 'pending', 'running')"
PRINTED = """
SELECT j.id, convert_from(o.data, 'UTF8') AS text FROM jobs j
LEFT JOIN job_output o ON o.job_id = j.id AND o.attempt = 1 AND o.stream = 'stdout'
"""


async def test_lost_replies_and_doubled_requests_lose_no_job_and_run_none_twice(
    db: Database, database_url: str, tmp_path: Path, ledger: Ledger
) -> None:
    (seat,) = await fleet.seats(db, 1, "lossy")
    ids = await fleet.queue(db, [seat.host_id], JOBS, f"echo {{n}} | tee -a {ledger.path}")
    faults = Faults()
    async with (
        web_process(database_url, tmp_path / "web.log") as web,
        lossy_proxy(web.port, faults) as through,
    ):
        agent = AgentProcess(tmp_path / "state", through, seat)
        agent.start("--slots", "16")
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while await db.fetchval(UNFINISHED):
                    await asyncio.sleep(0.2)
        finally:
            await agent.stop()
    ended = await db.fetch("SELECT status, outcome, attempt, count(*) FROM jobs GROUP BY 1, 2, 3")
    assert [tuple(row) for row in ended] == [("completed", "exited", 1, JOBS)]
    numbers = [str(number) for number in range(1, JOBS + 1)]
    assert sorted(ledger.lines(), key=int) == numbers
    printed = {row["id"]: row["text"] for row in await db.fetch(PRINTED)}
    assert printed == {job: f"{number}\n" for job, number in zip(ids, numbers, strict=True)}
    for call in ("poll", "state"):
        assert faults.dropped[call], "no reply was lost"
        assert faults.doubled[call], "no request came twice"
