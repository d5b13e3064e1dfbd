"""What script and command steps share: one job per target host, and what they came to together.

The step succeeds when every job did (manual, *Available step types*). Who begins when, who tries again and
who is stopped is decided in `definitions.rollout`, from the jobs as the store has them: at the start, and
again each time one has ended or the step's deadline has come.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from agent.payloads import JobPayload
from definitions import rollout
from definitions.errors import OpsgateError
from definitions.job_types import PRIORITY
from definitions.lifecycles.job import ENDED, JobStatus
from definitions.rollout import Decision, Standing
from definitions.secret_values import SecretValues
from definitions.steps import JobStep
from definitions.variables import StepFacts
from store import approval_ahead, job_checkouts, jobs, targets
from store.connection import Tx
from store.engine import commits, facts, host_work
from store.engine.host_work import HostWork, StepWork
from store.engine.leases import LeaseLost
from store.failpoints import failpoint
from store.job_checkouts import ScriptRun
from store.references import listed
from store.targets import HostRef
from tasks import run_as
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
    as_itself: ScriptRun | None = None
    """The script that runs as the identity it names, where the step names none."""
    sent_to: Callable[[Collection[HostRef]], dict[str, Any]] | None = None
    """The same for these hosts, where it hangs on what hosts they are."""


Planner = Callable[[StepRun], Awaitable[Plan | Settled]]


async def begin(run: StepRun, planner: Planner) -> Settled | Waiting:
    """Keep which hosts are meant, create the first jobs, note that the step waits: one transaction."""
    plan = await planner(run)
    if isinstance(plan, Settled):
        return plan

    step = _step(run)
    waiting: list[Waiting] = []

    async def create(tx: Tx) -> None:
        await run_as.checkout(tx, run)
        meant, there = await _meant(tx, run)
        await approval_ahead.confirm_hosts(tx, run.situation.instance_id, step, list(there.values()))
        for system in {host.os: host for host in there.values()}.values():
            plan.payload_for(system)  # a payload that can't be made is found out before any host begins
        sent = plan.sent_to(there.values()) if plan.sent_to and there else plan.sent
        row = run.row({**sent, **run_as.shown(run)})
        deadline = await host_work.aim(tx, run.situation.instance_id, run.active, meant, row.input)
        standings = [Standing(gone=host not in there) for host in meant]
        first = rollout.decide(step, standings, expired=False).start
        await _create(tx, run, plan, [there[meant[at]] for at in first])
        if first:
            waiting.append(Waiting("jobs", _counted(len(first), len(first), len(meant)), deadline))

    failpoint("worker.before_dispatch")
    try:
        row = run.row({**plan.sent, **run_as.shown(run)})
        try:
            await commits.open_step(run.db, run.lease, row, create=create)
        except run_as.NotYet as identity:
            return await run_as.wait(run, row, identity)
    except OpsgateError as error:
        return refused(error, plan.sent)
    failpoint("worker.after_dispatch")
    return waiting[0] if waiting else await settle(run, planner)


async def _meant(tx: Tx, run: StepRun) -> tuple[list[int], dict[int, HostRef]]:
    """The hosts a step that begins is meant for, and those of them that are there. What the step names has
    to be; of the instance's hosts some may have been decommissioned since it started."""
    named, own = list(_step(run).hosts), run.situation.host_ids
    found = await (targets.by_ids(tx, own) if own and not named else targets.resolve(tx, named, of_step=True))
    there = {host.id: host for host in found}
    return list(there) if named else own, there


def refused(error: OpsgateError, sent: dict[str, Any]) -> Settled:
    """A step that could not be started fails with the reason; losing the lease is no such reason."""
    if isinstance(error, LeaseLost):
        raise error
    details = [problem.message for problem in getattr(error, "problems", ())]
    return failed(" ".join([error.message, *details]), sent)


async def settle(run: StepRun, planner: Planner) -> Settled | Waiting:
    """What the jobs have come to; what follows for the other hosts is done first. A step that waited for the
    identity it runs as has not begun."""
    if _step(run).run_as is not None and not await host_work.has_begun(
        run.db, run.situation.instance_id, run.active
    ):
        return await begin(run, planner)
    work, decision = await _look(run)
    if decision.acts:
        plan = await planner(run) if decision.start else None
        if isinstance(plan, Settled):
            return await _left_off(run, work, plan)

        async def change(tx: Tx) -> None:
            await _move(tx, run, plan)

        try:
            await commits.amend_step(run.db, run.lease, run.active, change)
        except OpsgateError as error:
            return await _left_off(run, work, refused(error, {}))
        failpoint(_passed(work, decision))
        work, decision = await _look(run)
    if decision.over:
        return await _result(run, work, decision)
    return _waiting(work, decision)


async def _left_off(run: StepRun, work: StepWork, why: Settled) -> Settled:
    """The step fails between its waves, with what its hosts have left; what runs is stopped as it closes."""
    return replace(why, facts=StepFacts(hosts=await facts.host_facts(run.db, work.hosts)))


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
        fresh = [work.hosts[at].host_id for at in decision.start]
        await _create(tx, run, plan, await targets.by_ids(tx, fresh))


async def _by_itself(tx: Tx, run: StepRun, plan: Plan) -> int | None:
    """The checkout by which the jobs run as the identity of their script, all hosts of the step in view."""
    if plan.as_itself is None or plan.as_itself.script.run_as is None:
        return None
    situation, active = run.situation, run.active
    work = await host_work.of_step(tx, situation.instance_id, active)
    script = plan.as_itself._replace(hosts=[host.host for host in work.hosts])
    known_from = [step for step, left in situation.left(active.step) if left.checkout is not None]
    identity = plan.as_itself.script.run_as
    return await job_checkouts.of_step(tx, script, identity, situation.instance_id, active, known_from)


async def _create(tx: Tx, run: StepRun, plan: Plan, hosts: list[HostRef]) -> None:
    step = _step(run)
    checkout_id = (await run_as.checkout(tx, run) or await _by_itself(tx, run, plan)) if hosts else None
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
            checkout_id=checkout_id,
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


def _passed(work: StepWork, decision: Decision) -> str:
    """The failpoint for what has just been carried out."""
    if work.expired:
        return "worker.deadline_passed"
    return "worker.retry_queued" if decision.again else "worker.wave_dispatched"


def _waiting(work: StepWork, decision: Decision) -> Waiting:
    """Cold when all that is not over is a next attempt, and a while away."""
    unfinished = [host for host in work.hosts if host.status is not None and host.status not in ENDED]
    made = sum(host.job_id is not None for host in work.hosts)
    sentence = _counted(len(unfinished), made, made if decision.halted else len(work.hosts))
    moments = [host.scheduled_at for host in unfinished if _is_ahead(host, work)]
    cold = False
    if moments and len(moments) == len(unfinished):
        first = min(moment for moment in moments if moment is not None)
        cold = first - work.now > COLD
        sentence += f" The next attempt begins at {first:%Y-%m-%d %H:%M:%S} UTC."
    return Waiting("jobs", sentence, None if work.expired else work.deadline, cold=cold)


def _counted(unfinished: int, made: int, hosts: int) -> str:
    later = f" {hosts - made} of {hosts} hosts begin later." if made < hosts else ""
    return f"Waits for {unfinished} of {made} jobs to end.{later}"


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
    told = [host for host in bad if host.status != JobStatus.CANCELLED]  # they are why others were stopped
    told = told or [host for host in bad if host.reason != decision.halted]
    for first in told[:1]:
        more = f" (and {len(told) - 1} more of {len(work.hosts)} jobs)" if len(told) > 1 else ""
        sentences.append(f"On {first.host}: {(first.reason or first.status or '').rstrip('.')}{more}.")
    if never:
        gone = "" if decision.halted else ", decommissioned before its turn"
        sentences.append(f"Not started on {listed(never)}{gone}.")
    return failed(" ".join(sentences), facts=produced)


def _step(run: StepRun) -> JobStep:
    assert isinstance(run.step, JobStep)
    return run.step
