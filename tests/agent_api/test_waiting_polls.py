"""Polls that are held open, and what nobody rings for: one question for all of them finds it."""

import asyncio
from collections import Counter

import pytest

from agent_api import bells
from store import claims


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(bells, "RECHECK_SECONDS", 0.3)


async def test_a_job_that_becomes_due_is_delivered_though_nothing_tells(
    served, enrolled, dispatch, held_open, db
):
    agent = await enrolled(served)
    await agent.poll()
    job_id = await dispatch(served, scheduled_at="2999-01-01T00:00:00Z")
    poll = await held_open(agent, agent.poll(wait_seconds=10))
    await db.execute("UPDATE jobs SET scheduled_at = now() WHERE id = $1", job_id)
    assert [job["job_id"] for job in (await poll)["jobs"]] == [job_id]


async def test_a_job_claimed_into_a_dead_connection_is_given_to_the_poll_that_waits(
    served, enrolled, dispatch, held_open, db
):
    agent = await enrolled(served)
    await agent.poll()
    job_id = await dispatch(served, scheduled_at="2999-01-01T00:00:00Z")
    poll = await held_open(agent, agent.poll(wait_seconds=10))
    await db.execute(
        "UPDATE jobs SET status = 'pending', agent_id = $2, claimed_at = now() WHERE id = $1",
        job_id,
        agent.agent_id,
    )
    assert [job["job_id"] for job in (await poll)["jobs"]] == [job_id]


async def test_an_agent_that_waits_hears_that_it_was_decommissioned(served, enrolled, held_open, db):
    agent = await enrolled(served)
    await agent.poll()
    poll = await held_open(agent, agent.post("poll", agent.poll_body(wait_seconds=10)))
    await db.execute("UPDATE agents SET revoked_at = now()")
    assert (await poll).status_code == 403


async def test_only_those_are_woken_who_would_find_something(
    served, enrolled, dispatch, held_open, db, monkeypatch
):
    looked = []
    look = claims.poll

    async def noted(db, actor, body, again=False, **more):
        if again:
            looked.append(actor.name)
        return await look(db, actor, body, again=again, **more)

    monkeypatch.setattr(claims, "poll", noted)
    crowd = [await enrolled(served, f"web-{number}") for number in range(5)]
    for agent in crowd:
        await agent.poll()
    polls = await asyncio.gather(*(held_open(agent, agent.poll(wait_seconds=2)) for agent in crowd))
    looked.clear()
    job_id = await dispatch(served, "web-3", scheduled_at="2999-01-01T00:00:00Z")
    await db.execute("UPDATE jobs SET scheduled_at = now() WHERE id = $1", job_id)
    replies = await asyncio.gather(*polls)
    assert [job["job_id"] for reply in replies for job in reply["jobs"]] == [job_id]
    # Each of the others looks once more, when its time is over.
    assert all(count <= 1 for name, count in Counter(looked).items() if name != "web-3"), looked
