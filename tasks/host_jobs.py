"""What script and command steps share: one job per target host, and what they came to together.

The step succeeds when every job did (manual, *Available step types*).
"""

from collections.abc import Callable
from typing import Any

from agent.payloads import JobPayload
from definitions.errors import OpsgateError
from definitions.job_types import PRIORITY
from definitions.lifecycles.instance import StepStatus
from definitions.lifecycles.job import ENDED, JobStatus
from definitions.secret_values import SecretValues
from definitions.steps import JobStep
from definitions.variables import StepFacts
from store import jobs, targets
from store.connection import Tx
from store.engine import commits, facts
from store.engine.leases import LeaseLost
from store.failpoints import failpoint
from store.targets import HostRef
from tasks.step_run import Settled, StepRun, Waiting, completed, failed


async def dispatch(
    run: StepRun,
    step: JobStep,
    sent: dict[str, Any],
    payload_for: Callable[[HostRef], JobPayload],
    script: tuple[int, int, list[dict[str, Any]]] | None = None,
    secrets: SecretValues | None = None,
) -> Settled | Waiting:
    """Create the jobs and note that the step waits for them, in one transaction.

    `script`: its id, its version, and the libraries in front of it as jobs keep them.
    `secrets`: what its payload names, to be sealed for each job.
    """

    async def create(tx: Tx) -> None:
        hosts = await targets.resolve(tx, list(step.hosts) or run.situation.host_ids, of_step=True)
        new = [
            jobs.NewJob(
                type=step.type,
                host_id=host.id,
                payload=payload_for(host),
                priority=PRIORITY[step.type],
                script_id=script[0] if script else None,
                script_version=script[1] if script else None,
                libraries=script[2] if script else (),
                secrets=secrets,
            )
            for host in hosts
        ]
        await jobs.insert(
            tx,
            run.situation.started_by_name,
            run.situation.started_by,
            new,
            instance_id=run.situation.instance_id,
            step_id=run.active.step,
            visit=run.active.visit,
            branch=run.situation.workflow.branch(run.active.step),
            keys=run.db.keys,
        )

    failpoint("worker.before_dispatch")
    try:
        await commits.open_step(run.db, run.lease, run.row(sent), status=StepStatus.RUNNING, create=create)
    except OpsgateError as error:
        return refused(error, sent)
    failpoint("worker.after_dispatch")
    return Waiting("jobs", "Waits for its jobs to end.")


def refused(error: OpsgateError, sent: dict[str, Any]) -> Settled:
    """A step that could not be started fails with the reason; losing the lease is no such reason."""
    if isinstance(error, LeaseLost):
        raise error
    details = [problem.message for problem in getattr(error, "problems", ())]
    return failed(" ".join([error.message, *details]), sent)


async def settle(run: StepRun) -> Settled | Waiting:
    """How the jobs ended, once all have."""
    found = await facts.jobs_of_step(run.db, run.situation.instance_id, run.active)
    if not found:
        raise RuntimeError(f"step {run.active.step} waits for jobs and has none")
    open_jobs = [job for job in found if job.status not in ENDED]
    if open_jobs:
        return Waiting("jobs", f"Waits for {len(open_jobs)} of {len(found)} jobs to end.")
    produced = StepFacts(hosts=await facts.host_facts(run.db, found))
    bad = [job for job in found if job.status != JobStatus.COMPLETED]
    if not bad:
        return completed("", facts=produced)
    first = bad[0]
    sentence = f"On {first.host}: {first.reason or first.status}"
    if len(bad) > 1:
        sentence += f" (and {len(bad) - 1} more of {len(found)} jobs)"
    return failed(sentence.rstrip(".") + ".", facts=produced)
