"""What the job queue is held against, on the same PostgreSQL: procrastinate, and bare SQL in pgbench."""

import asyncio
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.child import MeasurementFailed, measured
from benchmarks.figure import PGBENCH, PROCRASTINATE, Figure, of
from benchmarks.measure import spread
from benchmarks.ours import fleet, fresh
from benchmarks.ours.installation import Installation

_LIMIT_SECONDS = 300

_SCRIPT = """
\\set host 1 + :client_id
UPDATE jobs SET status = 'pending', agent_id = :host, request_id = 'r', claimed_at = clock_timestamp()
WHERE id = (SELECT id FROM jobs WHERE host_id = :host AND status = 'queued' AND scheduled_at <= now()
            ORDER BY priority, scheduled_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id AS job \\gset
BEGIN;
UPDATE jobs SET status = 'running', started_at = clock_timestamp() WHERE id = :job AND status = 'pending';
WITH ended AS (
    UPDATE jobs SET status = 'completed', outcome = 'exited', exit_code = 0, ended_at = clock_timestamp()
    WHERE id = :job AND status = 'running' RETURNING *)
INSERT INTO job_attempts (job_id, attempt, agent_id, status, outcome, exit_code,
                          claimed_at, started_at, ended_at)
SELECT id, attempt, agent_id, status, outcome, exit_code, claimed_at, started_at, ended_at FROM ended;
COMMIT;
"""
"""Two transactions a job, over one kept connection a host: no HTTP, no agents' rules, no notification."""


async def beside(here: Installation, count: int, at_once: int) -> dict[str, float]:
    """So many jobs through each peer: jobs a second, by column. A peer that is not installed is left out."""
    rates = {PGBENCH: await _pgbench(here, count, at_once)}
    if importlib.util.find_spec("procrastinate") is None:
        print("procrastinate is left out: not installed (the extra `bench`).", file=sys.stderr)
    else:
        rates[PROCRASTINATE] = await _procrastinate(here, count, at_once)
    return rates


def figures(name: str, rounds: Sequence[dict[str, float]]) -> list[Figure]:
    """The peers' figures of all rounds."""
    notes = {
        PGBENCH: "claim, then start and complete: two transactions a job, one connection a host",
        PROCRASTINATE: "tasks that do nothing, as many at once as there are agents; in the worker's process",
    }
    return [of(name, who, spread([each[who] for each in rounds]), "/s", notes[who]) for who in rounds[0]]


async def _procrastinate(here: Installation, count: int, at_once: int) -> float:
    async with fresh.database(here, "bench_procrastinate") as address:
        found = await measured(
            "benchmarks.peers.procrastinate_queue",
            *(address, str(count), str(at_once)),
            environment=dict(os.environ),
            limit_seconds=_LIMIT_SECONDS,
        )
    rate: float = found["rate"]
    return rate


async def _pgbench(here: Installation, count: int, at_once: int) -> float:
    program = Path(here.stack.processes.child("postgres").command[0]).with_name("pgbench")
    async with fresh.store(here, "bench_sql") as db:
        seats = await fleet.seats(db, at_once, "bare")
        assert [(seat.host_id, seat.agent_id) for seat in seats] == [(n, n) for n in range(1, at_once + 1)]
        await fleet.queue(db, [seat.host_id for seat in seats], count)
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
            script.write(_SCRIPT)
            script.flush()
            options = ["-n", "-M", "prepared", "-c", str(at_once), "-j", "1", "-t", str(count // at_once)]
            process = await asyncio.create_subprocess_exec(
                *(str(program), *options, "-f", script.name, db.dsn),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await process.communicate()
        left = await db.fetchval("SELECT count(*) FROM jobs WHERE status <> 'completed'")
    found = re.search(rb"tps = ([\d.]+)", out)
    if process.returncode != 0 or found is None or left:
        raise MeasurementFailed(
            f"pgbench ended with {process.returncode}, {left} jobs left: {err.decode()[-2000:]}"
        )
    return float(found[1])
