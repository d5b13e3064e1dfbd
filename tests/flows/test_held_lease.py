"""The lease of a segment: given back whatever happens, or a healthy worker would keep it for ever."""

from typing import Any

import pytest
from prefect.flow_runs import Pause  # type: ignore[attr-defined]  # Prefect re-exports it undeclared

from flows.lease import held_lease
from flows.process import EngineProcess, beat
from store.connection import Database
from store.engine import attention, leases
from store.engine.leases import LeaseHeld


async def idle(db: Database) -> list[int]:
    return [found.instance_id for found in await attention.idle(db)]


async def away(*_: Any, **__: Any) -> None:
    raise ConnectionError("the store is away")


async def test_a_lease_that_could_not_be_given_back_is_given_back_with_a_heartbeat(
    process: EngineProcess, instance: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(leases, "release", away)
        async with held_lease(process, instance):
            pass
    assert await idle(process.db) == [], "this worker lives, so nobody may take it"
    await beat(process)
    assert await idle(process.db) == [instance]
    async with held_lease(process, instance):
        pass


async def test_a_lease_whose_taking_was_not_answered_is_given_back_too(
    process: EngineProcess, instance: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = leases.take

    async def taken_but_unanswered(*args: Any) -> None:
        await take(*args)
        raise ConnectionError("gone before the answer")

    with monkeypatch.context() as patch:
        patch.setattr(leases, "take", taken_but_unanswered)
        with pytest.raises(ConnectionError):
            async with held_lease(process, instance):
                pass
    with pytest.raises(LeaseHeld):
        async with held_lease(process, instance):
            pass
    await beat(process)
    async with held_lease(process, instance):
        pass
    assert (process.engaged, process.unreleased) == (set(), set())


async def test_one_process_runs_one_segment_of_an_instance(process: EngineProcess, instance: int) -> None:
    async with held_lease(process, instance):
        with pytest.raises(LeaseHeld):
            async with held_lease(process, instance):
                pass
        assert await idle(process.db) == []


async def test_a_segment_that_always_breaks_off_is_tried_less_and_less_often(
    process: EngineProcess, instance: int
) -> None:
    for expected in (1, 2, 3):
        await attention.nudged(process.db, instance)
        with pytest.raises(ZeroDivisionError):
            async with held_lease(process, instance):
                raise ZeroDivisionError
        assert await process.db.fetchval("SELECT nudges FROM instances") == expected
    assert await idle(process.db) == []


async def test_a_segment_that_parks_is_woken_without_a_pause(process: EngineProcess, instance: int) -> None:
    await attention.nudged(process.db, instance)
    with pytest.raises(Pause):
        async with held_lease(process, instance):
            raise Pause
    assert await idle(process.db) == [instance]
