"""Why an instance failed: the step that failed first on its path, whatever the branch after it did, and
never one that the path did without."""

from typing import Any, cast

import pytest

from definitions.routing import Active
from definitions.workflow import parse
from flows.compile import CompiledWorkflow
from flows.process import EngineProcess
from flows.segment import Segment
from store.engine import leases, situation
from tasks.step_run import Settled, completed, failed

REJECTED = "Rejected: one of many. By bob: 'no'."
STEPS = [
    {"id": "approve", "type": "command", "command": "true", "on_failure": "undo"},
    {"id": "check", "type": "command", "command": "true", "on_failure": "undo", "on_success": "fail"},
    {"id": "undo", "type": "command", "command": "true", "on_success": "fail"},
]


@pytest.mark.parametrize("reloads", [True, False])
@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([failed(REJECTED), completed()], f"approve: {REJECTED}"),
        ([failed(REJECTED), completed("Undone.")], f"approve: {REJECTED}"),
        ([failed(""), completed()], "approve: Failed."),
        (
            [failed(REJECTED), failed("On h: Exit code 1.")],
            f"approve: {REJECTED} Then undo: On h: Exit code 1.",
        ),
        ([completed(), failed("On h: Exit code 2."), completed()], "check: On h: Exit code 2."),
        ([completed(), completed()], "Succeeded; the workflow fails."),
    ],
)
async def test_an_instance_names_the_step_that_failed_first(
    process: EngineProcess, instance: int, answers: list[Settled], reason: str, reloads: bool
) -> None:
    definition = {"name": "w", "steps": STEPS}
    workflow, _ = parse(definition)
    assert workflow is not None
    await process.db.execute("UPDATE workflow_versions SET definition = $1", definition)
    await process.db.execute("UPDATE instances SET frontier = $1", [{"step": "approve", "visit": 1}])
    lease = await leases.take(process.db, instance, process.worker_id)
    found = await situation.load(process.db, lease, workflow)
    state: Any = None
    for answer in answers:
        if reloads:  # as after a suspension or a crash
            found = await situation.load(process.db, lease, workflow)
        one = Segment(process, cast(CompiledWorkflow, None), lease, found)
        (active,) = found.frontier
        state = await one._close(active, answer, None)
    row = await process.db.fetchrow("SELECT status, reason FROM instances")
    assert row is not None
    assert tuple(row) == ("failed", reason)
    assert "Rejected" not in state.message, "why it failed is not for Prefect"
    assert Active("undo", 1) in found.results or reason.startswith("Succeeded")


def _step(step: str, **more: Any) -> dict[str, Any]:
    return {"id": step, "type": "command", "command": "true", **more}


@pytest.mark.parametrize("reloads", [True, False])
@pytest.mark.parametrize(
    ("join", "branch", "ends", "reason"),
    [
        (
            "any",
            [_step("bad")],
            [("bad", failed("")), ("good", completed()), ("p", completed()), ("z", failed("Code 4."))],
            "z: Code 4.",
        ),
        (
            "all",
            [_step("bad", on_failure="mend"), _step("mend")],
            [("bad", failed("")), ("mend", completed()), ("good", failed("Code 4.")), ("p", failed("No."))],
            "good: Code 4. Then p: No.",
        ),
    ],
)
async def test_a_failure_in_a_branch_that_led_to_nothing_is_not_named(
    process: EngineProcess,
    instance: int,
    join: str,
    branch: list[dict[str, Any]],
    ends: list[tuple[str, Settled]],
    reason: str,
    reloads: bool,
) -> None:
    branches = [{"steps": branch}, {"steps": [_step("good")]}]
    parallel = {"id": "p", "type": "parallel", "join": join, "branches": branches}
    definition = {"name": "w", "steps": [parallel, _step("z")]}
    workflow, problems = parse(definition)
    assert workflow is not None, problems
    frontier = [{"step": step, "visit": 1} for step in ("p", "bad", "good")]
    await process.db.execute("UPDATE workflow_versions SET definition = $1", definition)
    await process.db.execute("UPDATE instances SET frontier = $1", frontier)
    lease = await leases.take(process.db, instance, process.worker_id)
    found = await situation.load(process.db, lease, workflow)
    for step, answer in ends:
        if reloads:
            found = await situation.load(process.db, lease, workflow)
        one = Segment(process, cast(CompiledWorkflow, None), lease, found)
        await one._close(Active(step, 1), answer, None)
    row = await process.db.fetchrow("SELECT status, reason FROM instances")
    assert row is not None
    assert tuple(row) == ("failed", reason)


@pytest.mark.parametrize("reloads", [True, False])
async def test_a_branch_given_up_at_the_deadline_made_up_for_nothing(
    process: EngineProcess, instance: int, reloads: bool
) -> None:
    branches = [{"steps": [_step("bad", on_failure="continue"), _step("slow")]}, {"steps": [_step("good")]}]
    parallel = {"id": "p", "type": "parallel", "timeout_minutes": 1, "branches": branches}
    definition = {"name": "w", "steps": [parallel]}
    workflow, problems = parse(definition)
    assert workflow is not None, problems
    frontier = [{"step": step, "visit": 1} for step in ("p", "bad", "good")]
    await process.db.execute("UPDATE workflow_versions SET definition = $1", definition)
    await process.db.execute("UPDATE instances SET frontier = $1", frontier)
    lease = await leases.take(process.db, instance, process.worker_id)
    found = await situation.load(process.db, lease, workflow)
    for step, answer in (("bad", failed("Code 1.")), ("good", completed()), ("p", failed("Not in time."))):
        if reloads:
            found = await situation.load(process.db, lease, workflow)
        one = Segment(process, cast(CompiledWorkflow, None), lease, found)
        await one._close(Active(step, 1), answer, None)
    row = await process.db.fetchrow("SELECT status, reason FROM instances")
    assert row is not None
    assert tuple(row) == ("failed", "bad: Code 1. Then p: Not in time.")
