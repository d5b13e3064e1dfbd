"""A parallel step: begins its branches side by side, and is over when they have joined.

The rule of joining is `definitions.routing.joined`.
"""

from datetime import datetime

from definitions import routing
from definitions.lifecycles.instance import StepStatus
from definitions.rollout import not_in_time
from definitions.routing import Outcome
from definitions.steps import ParallelStep
from store.engine import commits, host_work
from store.failpoints import failpoint
from tasks.step_run import Settled, StepRun, Waiting, completed, failed


async def begin(run: StepRun) -> Settled | Waiting:
    """Put the first step of every branch beside this one, in one commit."""
    step, situation = _step(run), run.situation
    async with situation.moving:
        frontier = routing.fork(situation.workflow, situation.frontier, run.active)
        row = run.row({"join": step.join, "branches": step.branch_labels()})
        await commits.open_step(run.db, run.lease, row, status=StepStatus.RUNNING, frontier=frontier)
        situation.frontier = frontier
    failpoint("worker.forked")
    return await settle(run)


async def settle(run: StepRun) -> Settled | Waiting:
    """By where the branches have come to; only of its own deadline it asks the store."""
    situation = run.situation
    outcome = routing.joined(situation.workflow, situation.frontier, run.active.step, situation.routed())
    if outcome is None and _step(run).timeout_minutes is not None:
        async with run.db.connection() as tx:
            found = await host_work.deadline_of_step(tx, situation.instance_id, run.active)
        return failed(not_in_time(_step(run))) if found["expired"] else _waiting(run, found["deadline"])
    if outcome is None:
        return _waiting(run, None)
    sentence = routing.how_joined(_step(run), outcome)
    return completed(sentence) if outcome is Outcome.SUCCESS else failed(sentence)


def _step(run: StepRun) -> ParallelStep:
    assert isinstance(run.step, ParallelStep)
    return run.step


def _waiting(run: StepRun, deadline: datetime | None) -> Waiting:
    step, running = _step(run), set[int]()
    for active in run.situation.frontier:
        for parallel, number in run.situation.workflow.place(active.step).branches:
            if parallel == step.id:
                running.add(number)
    names = ", ".join(label for number, label in enumerate(step.branch_labels()) if number in running)
    return Waiting("branches", f"Waits for {names}.", deadline)
