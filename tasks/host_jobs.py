"""What script and command steps share: one job per target host, and what they came to together.

The step succeeds when every job did (manual, *Available step types*). Who begins when, who tries again and
who is stopped is decided in `definitions.rollout`, from the jobs as the store has them: at the start, and
again each time one has ended or the step's deadline has come.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from agent.payloads import JobPayload
from definitions import rollout
from definitions.errors import OpsgateError
from definitions.job_types import PRIORITY
from definitions.lifecycles.instance import StepStatus
from definitions.lifecycles.job import ENDED, JobStatus
from definitions.rollout import Decision
from definitions.secret_values import SecretValues
from definitions.steps import JobStep
from definitions.variables import StepFacts
from store import jobs, targets
from store.connection import Tx
from store.engine import commits, facts, host_work
from store.engine.host_work import HostWork, StepWork
from store.engine.leases import LeaseLost
from store.failpoints import failpoint
from store.references import listed
from store.targets import HostRef
from tasks.step_run import Settled, StepRun, Waiting, completed, failed

COLD = timedelta(seconds=5)
"""A next attempt further away than this is not waited for in memory."""


@dataclass(frozen=True)
class Plan:
    """What the step's jobs are made of; the same each time it is made."""

    sent: dict[str, Any]
    """The step's input as people see it."""
    payload_for: Callable[[HostRef], JobPayload]
    script: tuple[int, int, list[dict[str, Any]]] | None = None
    """Its id, its version, and the libraries in front of it as jobs keep them."""
    secrets: SecretValues | None = None
    """What the payload names, to be sealed for each job."""


Planner = Callable[[StepRun], Awaitable[Plan | Settled]]


async def begin(run: StepRun, planner: Planner) -> Settled | Waiting:
    """Keep which hosts are meant, create the first jobs, note that the step waits: one transaction."""
    plan = await planner(run)
    if isinstance(plan, Settled):
        return plan

    async def create(tx: Tx) -> None:
        hosts = await targets.resolve(tx, list(_step(run).hosts) or run.situation.host_ids, of_step=True)
        await host_work.aim(tx, run.situation.instance_id, run.active, [host.id for host in hosts])
        await _move(tx, run, plan)

    failpoint("worker.before_dispatch")
    try:
        row = run.row(plan.sent)
        await commits.open_step(run.db, run.lease, row, status=StepStatus.RUNNING, create=create)
    except OpsgateError as error:
        return refused(error, plan.sent)
    failpoint("worker.after_dispatch")
    return await settle(run, planner)


def refused(error: OpsgateError, sent: dict[str, Any]) -> Settled:
    """A step that could not be started fails with the reason; losing the lease is no such reason."""
    if isinstance(error, LeaseLost):
        raise error
    details = [problem.message for problem in getattr(error, "problems", ())]
    return failed(" ".join([error.message, *details]), sent)


async def settle(run: StepRun, planner: Planner) -> Settled | Waiting:
    """What the jobs have come to; what follows for the other hosts is done first."""
    work, decision = await _look(run)
    if decision.acts:
        plan = await planner(run) if decision.start else None
        if isinstance(plan, Settled):  # it could be made when the step began, from the same
            raise RuntimeError(f"step {run.active.step} can't go on: {plan.reason}")

        async def change(tx: Tx) -> None:
            await _move(tx, run, plan)

        await commits.amend_step(run.db, run.lease, run.active, change)
        failpoint("worker.retry_queued" if decision.again else "worker.wave_dispatched")
        work, decision = await _look(run)
    if decision.over:
        return await _result(run, work, decision)
    return _waiting(work, decision)


async def _look(run: StepRun) -> tuple[StepWork, Decision]:
    async with run.db.connection() as tx:
        return await _decide(tx, run)


async def _decide(tx: Tx, run: StepRun) -> tuple[StepWork, Decision]:
    work = await host_work.of_step(tx, run.situation.instance_id, run.active)
    standings = [host.standing for host in work.hosts]
    return work, rollout.decide(_step(run), standings, expired=work.expired)


async def _move(tx: Tx, run: StepRun, plan: Plan | None) -> None:
    """Carry out what is to be done, by the jobs as they are under the lock; without a plan none begins."""
    await host_work.lock(tx, run.situation.instance_id, run.active)
    work, decision = await _decide(tx, run)
    pauses = {work.hosts[at].job_id: pause for at, pause in decision.again.items()}
    await host_work.try_again(tx, {job: pause for job, pause in pauses.items() if job is not None})
    stopped = [work.hosts[at].job_id for at in decision.stop]
    await host_work.stop(tx, [job for job in stopped if job is not None], decision.halted)
    if plan is not None and decision.start:
        await _create(tx, run, plan, [work.hosts[at].host_id for at in decision.start])


async def _create(tx: Tx, run: StepRun, plan: Plan, host_ids: list[int]) -> None:
    step = _step(run)
    new = [
        jobs.NewJob(
            type=step.type,
            host_id=host.id,
            payload=plan.payload_for(host),
            priority=PRIORITY[step.type],
            script_id=plan.script[0] if plan.script else None,
            script_version=plan.script[1] if plan.script else None,
            libraries=plan.script[2] if plan.script else (),
            secrets=plan.secrets,
        )
        for host in await targets.by_ids(tx, host_ids)
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


def _waiting(work: StepWork, decision: Decision) -> Waiting:
    """Cold when all that is not over is a next attempt, and a while away."""
    unfinished = [host for host in work.hosts if host.status is not None and host.status not in ENDED]
    made = sum(host.job_id is not None for host in work.hosts)
    sentence = f"Waits for {len(unfinished)} of {made} jobs to end."
    if made < len(work.hosts) and not decision.halted:
        sentence += f" {len(work.hosts) - made} of {len(work.hosts)} hosts begin later."
    moments = [host.scheduled_at for host in unfinished if _is_ahead(host, work)]
    cold = False
    if moments and len(moments) == len(unfinished):
        first = min(moment for moment in moments if moment is not None)
        cold = first - work.now > COLD
        sentence += f" The next attempt begins at {first:%Y-%m-%d %H:%M:%S} UTC."
    return Waiting("jobs", sentence, None if work.expired else work.deadline, cold=cold)


def _is_ahead(host: HostWork, work: StepWork) -> bool:
    return host.status == JobStatus.QUEUED and host.scheduled_at is not None and host.scheduled_at > work.now


async def _result(run: StepRun, work: StepWork, decision: Decision) -> Settled:
    produced = StepFacts(hosts=await facts.host_facts(run.db, work.hosts))
    bad = [host for host in work.hosts if host.job_id is not None and host.status != JobStatus.COMPLETED]
    never = [host.host for host in work.hosts if host.job_id is None]
    if not bad and not never:
        return completed("", facts=produced)
    sentences = []
    if decision.halted and (never or any(host.status == JobStatus.CANCELLED for host in bad)):
        sentences.append(decision.halted)
    told = [host for host in bad if host.reason != decision.halted][:1]
    for first in told:
        more = f" (and {len(bad) - 1} more of {len(work.hosts)} jobs)" if len(bad) > 1 else ""
        sentences.append(f"On {first.host}: {(first.reason or first.status or '').rstrip('.')}{more}.")
    if never:
        gone = "" if decision.halted else ", decommissioned before its turn"
        sentences.append(f"Not started on {listed(never)}{gone}.")
    return failed(" ".join(sentences), facts=produced)


def _step(run: StepRun) -> JobStep:
    assert isinstance(run.step, JobStep)
    return run.step
