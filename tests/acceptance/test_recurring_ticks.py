"""Three schedulers at one recurring job, killed at random: every tick has exactly one row and one child.

100 ticks in the suite, 1,000 under `./run chaos`.
"""

import asyncio
import random
import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from definitions.permissions import SYSTEM
from store import recurring_jobs, users
from store.connection import Database
from tests.live.sizes import LIMIT_SECONDS, size

pytestmark = pytest.mark.timeout(LIMIT_SECONDS)

TICKS = size(100, 1_000)
SCHEDULERS = 3
SPEED = 60 * 20
"""Twenty minutes of the template's clock a second."""
ROOT = Path(__file__).parents[2]


async def spawn(*arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.live.scheduler", *map(str, arguments), cwd=ROOT
    )


async def test_three_schedulers_killed_at_random_answer_every_tick_once(db: Database) -> None:
    await users.bootstrap(db)
    view = await users.create(db, SYSTEM, "ann", None, None, ["admin"])
    ann = await users.actor_of(db, view.id)
    await db.execute("INSERT INTO hosts (name, os) VALUES ('web-1', 'linux')")
    job = {"type": "command", "hosts": ["web-1"], "payload": {"command": "true"}}
    made = await recurring_jobs.save(
        db,
        ann,
        {
            "name": "often",
            "cron": "* * * * *",
            "job": job,
            "max_recurrences": TICKS,
            "catch_up": "all",
            "catch_up_limit": 1000,
        },
    )
    assert made.next_run_at is not None
    first = made.next_run_at.timestamp()
    last = first + (TICKS + 20) * 60  # the limit ends it before
    asked = (db.dsn, made.id, first, time.time(), SPEED, last)
    running = [await spawn(*asked) for _ in range(SCHEDULERS)]
    dice, killed = random.Random(7), 0
    while (await recurring_jobs.show(db, ann, made.id)).stopped is None:
        await asyncio.sleep(dice.uniform(0.2, 0.6))
        victim = dice.randrange(SCHEDULERS)
        if running[victim].returncode is None:
            with suppress(ProcessLookupError):
                running[victim].kill()
                killed += 1
        await running[victim].wait()
        running[victim] = await spawn(*asked)
    for process in running:
        with suppress(ProcessLookupError):  # it may have seen the end and left
            process.kill()
        await process.wait()

    rows = await db.fetch(
        """SELECT t.at, t.outcome, (SELECT count(*) FROM jobs j WHERE j.tick_id = t.id) AS children
           FROM ticks t ORDER BY t.at"""
    )
    expected = [made.next_run_at + timedelta(minutes=number) for number in range(TICKS)]
    assert [row["at"] for row in rows if row["outcome"] == "ran"] == expected
    assert {row["children"] for row in rows if row["outcome"] == "ran"} == {1}
    assert await db.fetchval("SELECT count(*) FROM jobs") == TICKS
    shown = await recurring_jobs.show(db, ann, made.id)
    assert (shown.recurrences, shown.children) == (TICKS, TICKS)
    print(f"\n{TICKS} ticks, {killed} schedulers killed, {len(rows)} rows of the ledger")
    assert killed >= 3
