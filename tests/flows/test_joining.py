"""A parallel step joins as soon as it can, whatever its other branches wait for."""

import asyncio
from typing import Any, cast

import pytest
from prefect.client.schemas.objects import State

from definitions.workflow import parse
from flows.compile import CompiledWorkflow, _run_step
from flows.process import EngineProcess
from flows.segment import Segment
from store.engine import leases, situation
from tasks.step_run import Settled, Waiting

LONG = {"id": "long", "type": "delay", "hours": 1}
QUICK = {"id": "quick", "type": "condition", "condition": "1 == 1", "on_true": "end", "on_false": "fail"}
FORK = {"id": "p", "type": "parallel", "join": "any", "branches": [{"steps": [LONG]}, {"steps": [QUICK]}]}


async def made(process: EngineProcess, instance: int) -> Segment:
    """A segment in which `quick` ends when all the others only wait."""
    workflow, problems = parse({"name": "w", "steps": [FORK]})
    assert workflow is not None, problems
    await process.db.execute("UPDATE instances SET frontier = $1", [{"step": "p", "visit": 1}])

    async def at_once(**_: Any) -> State[None]:
        return await _run_step()

    async def at_last(**_: Any) -> State[None]:
        while not all(each.only_waits for active, each in one.members.items() if active.step != "quick"):
            await asyncio.sleep(0.01)
        return await _run_step()

    tasks = {"p": at_once, "long": at_once, "quick": at_last}
    lease = await leases.take(process.db, instance, process.worker_id)
    found = await situation.load(process.db, lease, workflow)
    one = Segment(process, CompiledWorkflow(workflow, cast(Any, None), cast(Any, tasks)), lease, found)
    return one


async def test_the_first_branch_that_ends_is_enough_while_the_others_only_wait(
    process: EngineProcess, instance: int
) -> None:
    one = await made(process, instance)
    async with asyncio.timeout(30):
        ended = await one.run()
    assert ended.is_completed()
    assert await process.db.fetchval("SELECT status FROM instances") == "completed"


async def test_a_branch_that_ends_while_the_instance_is_about_to_park_keeps_it_from_that(
    process: EngineProcess, instance: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await made(process, instance)
    some_end, rounds = one._some_end, 0

    async def with_the_last_of_them() -> list[Any]:
        """All at once: the others wait, as they said before the one had ended."""
        nonlocal rounds
        rounds += 1
        ended = await some_end()
        if rounds == 1:
            await one._leave()
            ended = sorted(one.members.values(), key=lambda each: each.active.step == "quick")
            kinds = [type(each.task.result()) for each in ended]
            assert kinds == [Waiting, Waiting, Settled]
        return ended

    monkeypatch.setattr(one, "_some_end", with_the_last_of_them)
    async with asyncio.timeout(30):
        ended = await one.run()
    assert ended.is_completed()
