"""Many votes at once, and votes at the very deadline: one decision, one wake-up, nothing late."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from definitions import quorum
from definitions.errors import Conflict, NotPermitted
from definitions.permissions import ROLES, Actor
from store import approval_views, approvals, votes
from store.approval_views import ApprovalView, Decision
from store.connection import Database
from tests.live.sizes import LIMIT_SECONDS, size

TYPES = ("singular", "one_of_many", "two_of_many", "all", "majority")
REQUESTS, PEOPLE, RACES = size(10, 100), size(7, 97), size(30, 1000)
"""With the three of the organisation there are 100 approvers."""

pytestmark = pytest.mark.timeout(LIMIT_SECONDS)


@pytest.fixture
async def wide(org: Any, database_url: str) -> AsyncIterator[Database]:
    """Enough connections for votes to meet."""
    db = await Database.connect(database_url, max_size=24)
    yield db
    await db.close()


async def copies(org: Any, first: ApprovalView, count: int) -> list[int]:
    """So many more of a request, each of an instance of its own."""
    rows = await org.db.fetch(
        """WITH made AS (
               INSERT INTO instances (workflow_id, workflow_version, host_ids, started_by, started_by_name)
               SELECT workflow_id, workflow_version, host_ids, started_by, started_by_name
               FROM instances, generate_series(1, $2) WHERE id = $3 RETURNING id)
           INSERT INTO approval_requests (instance_id, step_id, visit, title, approval_type, quorum, eligible,
               frozen, digest, deadline)
           SELECT made.id, step_id, visit, title, approval_type, quorum, eligible, frozen, digest, deadline
           FROM approval_requests r, made WHERE r.id = $1 RETURNING id""",
        first.id,
        count,
        first.instance_id,
    )
    return [row["id"] for row in rows]


_BLOCKED = "SELECT true FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)) LIMIT 1"
_STANDING = """SELECT r.id, r.status, r.approval_type, r.eligible, r.deadline, i.wake_seq AS wakes,
       (SELECT count(*) FROM audit a WHERE a.action = 'approval.decide' AND a.subject_id = r.id) AS decisions
   FROM approval_requests r JOIN instances i ON i.id = r.instance_id WHERE r.id = ANY ($1)"""


async def more_approvers(org: Any) -> None:
    await org.db.execute(
        """WITH made AS (
               INSERT INTO users (name) SELECT 'p' || n FROM generate_series(1, $1) n RETURNING id)
           INSERT INTO user_roles SELECT made.id, r.id FROM made, roles r WHERE r.name = 'approver'""",
        PEOPLE,
    )


def replayed(row: Mapping[str, Any], cast: list[Any]) -> list[str]:
    """What the reference says after each vote that was taken, in their order."""
    so_far: dict[int, quorum.Vote] = {}
    said = []
    for vote in cast:
        so_far[vote.user_id] = vote.decision
        said.append(quorum.tally(row["approval_type"], row["eligible"], so_far).status)
    return said


async def test_votes_of_everybody_at_once_make_one_decision_and_one_wake_up_each(
    org: Any, wide: Database
) -> None:
    await more_approvers(org)
    requests: dict[int, ApprovalView] = {}
    for kind in TYPES:
        who = ["user:bo"] if kind == "singular" else ["role:approver"]
        first = await org.gated(approval_type=kind, approvers=who)
        requests |= dict.fromkeys(await copies(org, first, REQUESTS // len(TYPES)), first)
    people = [
        Actor("user", row["id"], row["name"], ROLES["approver"])
        for row in await org.db.fetch("SELECT id, name FROM users WHERE name <> ALL ($1)", ["ana", "vi"])
    ]
    dice = random.Random(7)
    ballots = [(number, person) for number in requests for person in people]
    dice.shuffle(ballots)

    async def vote(number: int, person: Actor) -> str:
        choices: tuple[Decision, ...] = ("approve", "approve", "reject")
        decision = dice.choice(choices)
        try:
            return (await votes.vote(wide, person, number, decision, "", requests[number].digest)).status
        except (Conflict, NotPermitted) as refused:
            return type(refused).__name__

    answers = Counter(await asyncio.gather(*(vote(*ballot) for ballot in ballots)))
    rows = await org.db.fetch(_STANDING, list(requests))
    assert answers["approved"] + answers["rejected"] == len(requests) == len(rows)
    assert {(row["decisions"], row["wakes"]) for row in rows} == {(1, 1)}
    async with org.db.connection() as tx:
        cast = await approval_views.votes_of(tx, list(requests))
    for row in rows:
        *before, last = replayed(row, cast[row["id"]])
        assert (set(before) <= {"pending"}, last) == (True, row["status"])


async def test_of_a_vote_at_the_deadline_and_the_deadline_one_wins_and_no_vote_is_late(
    org: Any, wide: Database
) -> None:
    """Each vote waits for the lock of its instance, let go so that it is judged within about 5 ms of the
    deadline: sooner after one that came too late, later after one that did not."""
    first = await org.gated(timeout_minutes=60)
    ids = await copies(org, first, RACES)
    at_once, over, takes = asyncio.Semaphore(4), asyncio.Event(), 8.0

    async def expire() -> None:
        while not over.is_set():
            await approvals.expire_due(org.db)
            await asyncio.sleep(0.002)

    async def cast(number: int) -> str:
        try:
            return (await votes.vote(wide, org.bo, number, "approve", "", first.digest)).status
        except Conflict:
            return "refused"

    async def race(number: int) -> str:
        nonlocal takes
        async with at_once, wide.transaction() as tx:
            await votes.lock(tx, number)
            voting = asyncio.create_task(cast(number))
            holder = await tx.fetchval("SELECT pg_backend_pid()")
            while not await org.db.fetchval(_BLOCKED, holder):
                await asyncio.sleep(0.001)
            deadline = await tx.fetchval(
                """UPDATE approval_requests SET deadline = clock_timestamp() + $2 WHERE id = $1
                   RETURNING deadline""",
                number,
                timedelta(milliseconds=takes + 6),
            )
            let_go = deadline - timedelta(milliseconds=takes + number % 11 - 5)
            await tx.execute("SELECT pg_sleep_until($1)", let_go)
        answer = await voting
        takes = max(1.0, takes * 0.8) if answer == "approved" else takes * 1.3
        return answer

    keeper = asyncio.create_task(expire())
    answers = dict(zip(ids, await asyncio.gather(*map(race, ids)), strict=True))
    over.set()
    await keeper
    while await approvals.expire_due(org.db):
        pass
    async with org.db.connection() as tx:
        taken = await approval_views.votes_of(tx, ids)
    rows = await org.db.fetch(_STANDING, ids)
    for row in rows:
        accepted = answers[row["id"]] == "approved"
        assert (row["status"], row["decisions"], row["wakes"]) == (
            "approved" if accepted else "expired",
            1,
            1,
        )
        assert all(vote.at < row["deadline"] for vote in taken.get(row["id"], []))
        assert len(taken.get(row["id"], [])) == accepted
    left = [row["deadline"] - vote.at for row in rows for vote in taken.get(row["id"], [])]
    close = sum(each < timedelta(milliseconds=5) for each in left)
    ways = Counter(answers.values())
    print(f"{ways}; {close} accepted in the last 5 ms, the latest {min(left)} before the deadline")
    assert ways.keys() == {"approved", "refused"}, "not a race"
