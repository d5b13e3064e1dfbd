"""A segment when the store is away, and what it tells Prefect when it suspends."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prefect.context import FlowRunContext
from prefect.states import Completed

from definitions.steps import CommandStep
from definitions.workflow import Workflow, parse
from flows import forms, segment
from flows.compile import CompiledWorkflow
from flows.process import EngineProcess
from flows.suspend import GateForm
from store.engine import leases, situation
from tasks.step_run import Waiting, completed

WORKFLOW = Workflow(name="w", steps=(CommandStep(id="a", type="command", command="true"),))
COMPILED = CompiledWorkflow(WORKFLOW, cast(Any, None), {})


async def test_patience_begins_anew_when_the_store_has_been_back(
    process: EngineProcess, instance: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = await leases.take(process.db, instance, process.worker_id)
    monkeypatch.setattr(segment, "STORE_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(segment, "_CALM_SECONDS", 0.1)
    runs = iter([True, True, False])

    async def run(_: segment.Segment) -> Any:
        await asyncio.sleep(0.2)
        if next(runs):
            raise ConnectionError("restarting")
        return Completed()

    monkeypatch.setattr(segment.Segment, "run", run)
    answer = await segment._through_outages(process, COMPILED, lease)
    assert answer.is_completed()


async def test_patience_ends_when_the_store_stays_away(
    process: EngineProcess, instance: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = await leases.take(process.db, instance, process.worker_id)
    monkeypatch.setattr(segment, "STORE_PATIENCE_SECONDS", 0.6)

    async def away(*_: Any) -> None:
        raise ConnectionError("away")

    monkeypatch.setattr(situation, "load", away)
    with pytest.raises(ConnectionError):
        await segment._through_outages(process, COMPILED, lease)


async def test_prefects_form_shows_a_gates_title_and_not_its_description(
    process: EngineProcess, instance: int
) -> None:
    request = await process.db.fetchval(
        """INSERT INTO approval_requests (instance_id, step_id, visit, title, description, approval_type,
               quorum, eligible, frozen, digest)
           VALUES ($1, 'a', 1, 'Restart the *service*?', 'The output was: hunter2', 'one_of_many', 1, '{1}',
               '{}', '') RETURNING id""",
        instance,
    )
    lease = await leases.take(process.db, instance, process.worker_id)
    found = await situation.load(process.db, lease, WORKFLOW)
    waits = [Waiting("gate", "Waits for a decision: Restart?", None, request)]
    form, text = await forms.form_for(process, found, waits)
    assert form is GateForm
    assert "Restart the \\*service\\*?" in text
    assert f"instance {instance}" in text
    assert "hunter2" not in text


async def test_a_suspension_that_fails_is_tried_again(
    process: EngineProcess, instance: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = await leases.take(process.db, instance, process.worker_id)
    found = await situation.load(process.db, lease, WORKFLOW)
    one = segment.Segment(process, COMPILED, lease, found)
    context = SimpleNamespace(flow_run=SimpleNamespace(id=None), client=object())
    monkeypatch.setattr(FlowRunContext, "get", lambda: context)
    monkeypatch.setattr(segment, "PrefectClient", object)

    async def refuse(*_: Any) -> None:
        raise ConnectionError("Prefect is away")

    monkeypatch.setattr(segment, "suspend", refuse)
    seen = await leases.glance(process.db, lease)
    with pytest.raises(ConnectionError):
        await one._park([Waiting("jobs", "Waits.")], seen.wake_seq)
    assert await process.db.fetchval("SELECT parked_seq FROM instances") is None


async def test_a_park_ends_with_the_first_moment_that_any_of_it_names(
    process: EngineProcess, instance: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = await leases.take(process.db, instance, process.worker_id)
    found = await situation.load(process.db, lease, WORKFLOW)
    one = segment.Segment(process, COMPILED, lease, found)
    first, *later = (datetime(2027, 1, 31, hour, tzinfo=UTC) for hour in (8, 9, 10))
    waits = [
        Waiting("gate", "Waits for people.", first, request_id=1),
        Waiting("jobs", "Waits for jobs.", later[0]),
        Waiting("branches", "Waits for branches.", later[1]),
        Waiting("delay", "Waits."),
    ]
    monkeypatch.setattr(FlowRunContext, "get", lambda: None)
    seen = await leases.glance(process.db, lease)
    with pytest.raises(RuntimeError, match="inside a flow run"):
        await one._park(waits, seen.wake_seq)
    row = await process.db.fetchrow("SELECT wake_at, park_kind, reason FROM instances")
    assert row is not None
    assert tuple(row) == (first, "jobs", "Waits for people. Waits for jobs. Waits.")


class Enough(Exception):
    """The test has seen what it wanted."""


async def test_a_parallel_step_whose_last_branch_has_just_ended_is_not_parked(
    process: EngineProcess, instance: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    branch = {"steps": [{"id": "b", "type": "command", "command": "true"}]}
    workflow, _ = parse({"name": "w", "steps": [{"id": "p", "type": "parallel", "branches": [branch]}]})
    assert workflow is not None
    await process.db.execute(
        "UPDATE instances SET frontier = $1", [{"step": "p", "visit": 1}, {"step": "b", "visit": 1}]
    )
    lease = await leases.take(process.db, instance, process.worker_id)
    found = await situation.load(process.db, lease, workflow)
    one = segment.Segment(process, CompiledWorkflow(workflow, cast(Any, None), {}), lease, found)
    answers = [Waiting("branches", "Waits for branch 1."), completed()]
    rounds = 0

    async def some_end(_: segment.Segment) -> list[Any]:
        nonlocal rounds
        rounds += 1
        if rounds > 1:
            raise Enough
        for active, answer in zip(found.frontier, answers, strict=True):
            task = SimpleNamespace(result=lambda answer=answer: answer)
            one.members[active] = cast(
                Any, SimpleNamespace(active=active, task=task, looked=0, task_run_id=None, ring=lambda: None)
            )
        return list(one.members.values())

    monkeypatch.setattr(segment.Segment, "_some_end", some_end)
    with pytest.raises(Enough):
        await one.run()
    assert [active.step for active in found.frontier] == ["p"]
