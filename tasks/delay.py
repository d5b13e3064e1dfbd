"""A delay waits for a moment: after a duration, or until a time."""

from definitions import delays
from definitions.errors import Invalid
from definitions.steps import DelayStep
from store.engine import commits
from store.failpoints import failpoint
from tasks.step_run import Settled, StepRun, Waiting, completed, failed


async def begin(run: StepRun) -> Settled | Waiting:
    """Fix the moment once, by the database's clock, and wait for it."""
    step = run.step
    assert isinstance(step, DelayStep)
    now = await run.db.fetchval("SELECT now()")
    try:
        moment = delays.due_at(step, now, run.scope())
    except Invalid as error:
        return failed(error.message, {"until": step.until})
    row = run.row({"until": moment.isoformat()})
    if moment <= now:
        return completed("The time had already come.", row.input)
    if late := delays.too_late(step, moment, now):
        return failed(late, row.input)
    await commits.open_step(run.db, run.lease, row, wake_at=moment)
    failpoint("worker.delay_begun")
    return Waiting("delay", f"Waits until {moment.isoformat(timespec='seconds')}.", moment)


async def settle(run: StepRun) -> Settled | Waiting:
    """Over when the database's clock says so."""
    moment = run.situation.results[run.active].wake_at
    if moment is None:
        raise RuntimeError(f"delay {run.active.step} waits without a moment")
    if await run.db.fetchval("SELECT now() >= $1", moment):
        return completed("The time has come.", {"until": moment.isoformat()})
    return Waiting("delay", f"Waits until {moment.isoformat(timespec='seconds')}.", moment)
