"""An agent recognised a moment ago is not looked up again; one that is unwanted gets nothing by it."""

import pytest

from agent_api.known_agents import SECONDS, KnownAgents
from definitions.errors import NotAuthenticated, NotPermitted


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


async def test_it_is_asked_again_when_the_second_is_over(db, anyone, enrolled):
    agent = await enrolled(anyone)
    clock = Clock()
    known = KnownAgents(clock)
    actor = await known.recognise(db, agent.token)
    await db.execute("UPDATE agents SET revoked_at = now()")
    clock.now = SECONDS - 0.01
    assert await known.recognise(db, agent.token) == actor
    clock.now = SECONDS + 0.01
    with pytest.raises(NotPermitted):
        await known.recognise(db, agent.token)


async def test_an_unknown_token_is_not_remembered(db, anyone, enrolled):
    known = KnownAgents()
    with pytest.raises(NotAuthenticated):
        await known.recognise(db, "oga_not-yet")
    agent = await enrolled(anyone)
    await db.execute("UPDATE agents SET token_sha256 = sha256('oga_not-yet')")
    assert (await known.recognise(db, "oga_not-yet")).id == agent.agent_id


async def test_an_agent_decommissioned_mid_job_gets_nothing_and_its_word_counts_for_nothing(
    anyone, enrolled, dispatch, people, db
):
    agent = await enrolled(anyone)
    running, waiting = await dispatch(anyone), await dispatch(anyone)
    assert len((await agent.poll(free_slots=1))["jobs"]) == 1
    assert (await agent.start(running)).status_code == 200
    gone = await anyone.delete("/api/v1/hosts/web-1", headers=people["ann"])
    assert gone.status_code < 300, gone.text
    assert (await agent.complete(running)).status_code in (403, 409)
    assert (await agent.output(running, b"late")).status_code in (403, 404, 409)
    assert (await agent.post("poll", agent.poll_body(free_slots=1))).status_code == 403
    rows = await db.fetch("SELECT status FROM jobs WHERE id = ANY ($1) ORDER BY id", [running, waiting])
    assert "completed" not in {row["status"] for row in rows}
    assert "pending" not in {row["status"] for row in rows}
