"""Whose place `@engine` is: one worker's at a time, and not another's because the store was away."""

import pytest

from agent.protocol import PollRequest
from definitions.errors import Conflict
from definitions.permissions import Actor
from store import claims, engine_host
from store.connection import Database

KEY = bytes(32)


async def become(db: Database, boot_id: str, silent: engine_host.Sign | None = None) -> Actor | None:
    return await engine_host.take_over(db, boot_id, KEY, silent)


async def beat(db: Database, agent: Actor, boot_id: str) -> None:
    request = PollRequest(boot_id=boot_id, request_id="r", holding=[], free_slots=0)
    await claims.poll(db, agent, request, sure=True)


async def test_a_worker_is_not_replaced_because_its_last_sign_of_life_is_old(db: Database) -> None:
    assert await become(db, "first")
    await db.execute("UPDATE agents SET last_seen_at = now() - interval '1 hour'")  # an outage of the store
    assert await become(db, "second") is None


async def test_one_that_polls_again_before_it_is_replaced_stays(db: Database) -> None:
    first = await become(db, "first")
    assert first is not None
    silent = await engine_host.sign(db)
    await beat(db, first, "first")
    assert await become(db, "second", silent) is None
    assert await become(db, "second", await engine_host.sign(db)) is not None


async def test_who_was_replaced_never_takes_the_place_back_by_polling(db: Database) -> None:
    first = await become(db, "first")
    assert first is not None
    for boot_id in ("second", "third"):
        assert await become(db, boot_id, await engine_host.sign(db))
    with pytest.raises(Conflict):
        await beat(db, first, "first")
    assert await db.fetchval("SELECT boot_id FROM agents") == "third"
