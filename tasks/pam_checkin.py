"""A check-in ends what checkout steps have opened; it never waits. What rotates after use does so then."""

from definitions.steps import PamCheckinStep
from store import checkouts
from store.connection import Tx
from store.engine import commits
from store.failpoints import failpoint
from store.references import listed
from tasks.step_run import Settled, StepRun, completed


async def begin(run: StepRun) -> Settled:
    """End the sessions and note the step in one transaction."""
    ended: list[str] = []

    async def check_in(tx: Tx) -> None:
        ended[:] = await checkouts.end_of_steps(
            tx, run.situation.instance_id, f"Checked in by step {run.active.step}.", _step(run).checkout
        )

    row = run.row({"checkout": list(_step(run).checkout)})
    await commits.open_step(run.db, run.lease, row, create=check_in)
    failpoint("worker.checked_in")
    return completed(f"Checked in: {listed(ended)}." if ended else "Nothing was checked out any more.")


async def settle(run: StepRun) -> Settled:
    """After a crash: what was to be ended has been, in the transaction that began the step."""
    return completed("Checked in.", {"checkout": list(_step(run).checkout)})


def _step(run: StepRun) -> PamCheckinStep:
    assert isinstance(run.step, PamCheckinStep)
    return run.step
