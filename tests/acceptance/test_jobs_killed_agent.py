"""The agent is killed with `kill -9` in the middle of its jobs, again and again.

No job is ever run a second time, each is reported as interrupted, and no process of one is left.
Three kills in the suite, fifty under `./run chaos`; two jobs run at each, one with a child that
left its session.

Seen red: with the supervisor ignoring the agent's death and `kill_remains` doing nothing, both jobs'
trees were left. A second run would take three guards at once to fail: the journal, the server's
refusal of a start, and the table of moves.
"""

import asyncio
from pathlib import Path

import pytest

from agent import processes
from benchmarks.ours import fleet
from store.connection import Database, Row
from tests.acceptance.conftest import Ledger
from tests.live.agent_process import AgentProcess
from tests.live.sizes import LIMIT_SECONDS, size
from tests.live.web import web_process

pytestmark = pytest.mark.timeout(LIMIT_SECONDS)

KILLS = size(3, 50)
AT_ONCE = 2


async def test_a_job_whose_agent_is_killed_is_interrupted_never_repeated_and_leaves_no_process(
    db: Database, database_url: str, tmp_path: Path, ledger: Ledger
) -> None:
    (seat,) = await fleet.seats(db, 1, "killed")
    async with web_process(database_url, tmp_path / "web.log") as web:
        agent = AgentProcess(tmp_path / "state", web.url, seat)
        try:
            agent.start()
            for kill in range(KILLS):
                command = f"setsid sleep 600 & sleep 600 & echo $$ >> {ledger.path}; wait"
                ids = await fleet.queue(db, [seat.host_id], AT_ONCE, command)
                await until_lines(ledger, (kill + 1) * AT_ONCE)
                leaders = [int(line) for line in ledger.lines()[-AT_ONCE:]]
                trees = [processes.descendants(pid, processes.every()) for pid in leaders]
                assert all(trees)
                await agent.kill_9()
                agent.start()
                for job in await ended(db, ids):
                    assert tuple(job.values()) == ("failed", "interrupted", 1)
                assert alive([*leaders, *(pid for tree in trees for pid in tree)]) == []
            (after,) = await fleet.queue(db, [seat.host_id], 1)
            (job,) = await ended(db, [after])
            assert job["status"] == "completed", "the agent goes on as ever"
        finally:
            await agent.stop()
    assert len(ledger.lines()) == KILLS * AT_ONCE


async def until_lines(ledger: Ledger, count: int) -> None:
    async with asyncio.timeout(30):
        while len(ledger.lines()) < count:
            await asyncio.sleep(0.02)


async def ended(db: Database, ids: list[int]) -> list[Row]:
    """How these jobs ended, once all have."""
    sql = "SELECT status, outcome, attempt FROM jobs WHERE id = ANY ($1) AND ended_at IS NOT NULL"
    async with asyncio.timeout(30):
        while len(rows := await db.fetch(sql, ids)) < len(ids):
            await asyncio.sleep(0.05)
    return rows


def alive(pids: list[int]) -> list[int]:
    """Those that still run; one that nobody has waited for yet is dead."""
    return [pid for pid in pids if processes.look_up(pid) is not None]
