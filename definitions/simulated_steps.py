"""One simulated step: what would be sent, and how it comes out under a scenario.

Resolves and evaluates by the functions the engine's tasks use. Touches no host; decides no route.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import cast

from definitions import condition_words, conditions, parameters, quorum, secret_values, variables
from definitions.catalogue import Catalogue
from definitions.delays import due_at, too_late
from definitions.errors import Invalid
from definitions.graph import names_of
from definitions.lifecycles.job import JobStatus
from definitions.names import listed
from definitions.parameters import Value
from definitions.rollout import Standing, decide, not_in_time
from definitions.routing import Outcome
from definitions.scenario import HostOutcome, Scenario, StepOutcome
from definitions.steps import (
    ApprovalStep,
    CommandStep,
    ConditionStep,
    DelayStep,
    JobStep,
    PamCheckinStep,
    PamCheckoutStep,
    ScriptStep,
    Step,
)
from definitions.variables import HostFacts, Scope, StepFacts

JOB_SECONDS = 1.0
"""How long a job, a vote or a checkout takes where the scenario does not say."""
_EXPIRED = "The deadline passes, which counts as rejected."
Sent = dict[str, Value]


@dataclass(frozen=True)
class World:
    """What surrounds the instance."""

    scenario: Scenario
    known: Catalogue
    targets: Mapping[str, tuple[str, ...]]
    """The hosts that a target names; one that is missing names itself."""
    starter: int | None = None
    """Who starts it, among the people that are known."""


@dataclass(frozen=True)
class Plan:
    """What a step sends, and how and when it ends."""

    sent: Sent
    outcome: Outcome | None
    """None: nothing ends it."""
    reason: str = ""
    facts: StepFacts | None = None
    seconds: float = 0
    identities: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    """Known once it has succeeded."""
    held: float | None = None
    """For how many seconds these may be held, if that is known."""


def plan(step: Step, scope: Scope, now: datetime, world: World) -> Plan:
    """How a step that begins now goes; what can't be resolved fails it, as it would in a run."""
    told = world.scenario.of(step.id)
    sent: Sent = {}
    try:
        if isinstance(step, DelayStep):
            planned = _in_time(step, _delay(step, told, scope, now, sent))
        else:
            planned = _in_time(step, _PLANS[type(step)](step, told, scope, world, sent))
    except Invalid as error:
        details = [problem.message for problem in error.problems]
        reason = " ".join([error.message, *details])
        return Plan(sent, Outcome.FAILURE, reason, None, told.seconds or 0)
    return planned


def limit_of(step: Step) -> float | None:
    """Within how many seconds the step has to be over."""
    return None if step.timeout_minutes is None else float(step.timeout_minutes) * 60


def _in_time(step: Step, planned: Plan) -> Plan:
    """The same, or the failure that the deadline makes of it; what is stopped leaves no exit code."""
    limit = limit_of(step)
    if limit is None or planned.seconds <= limit:
        return planned
    reason = _EXPIRED if isinstance(step, ApprovalStep) else not_in_time(step)
    return stopped(planned, limit, reason)


def stopped(planned: Plan, seconds: float, reason: str) -> Plan:
    """What comes of it if it is stopped so many seconds after it began; no host leaves anything."""
    hosts = tuple(HostFacts(host=host.host) for host in planned.facts.hosts) if planned.facts else ()
    facts = StepFacts(hosts=hosts) if planned.facts else None
    return Plan(planned.sent, Outcome.FAILURE, reason, facts, seconds)


def hosts_of(step: JobStep, world: World) -> list[str]:
    """The hosts a step runs on, each once. What a tag or group names, only a server knows: without one
    it is whatever further hosts the scenario gives results of, or one that is called so."""
    told = world.scenario.of(step.id).hosts
    targets = [str(target) for target in step.hosts] or list(world.scenario.hosts)
    named = {name for target in targets for name in world.targets.get(target, (target,))}
    others = tuple(name for name in told if name not in named)
    found: dict[str, None] = {}
    for target in targets:
        loose = target.startswith(("tag:", "group:")) and target not in world.targets
        found |= dict.fromkeys((others if loose else ()) or world.targets.get(target, (target,)))
    return list(found)


def _script(step: ScriptStep, told: StepOutcome, scope: Scope, world: World, sent: Sent) -> Plan:
    sent["script"] = step.script
    given = cast("dict[str, Value]", variables.resolve(dict(step.parameters), scope))
    script = next((one for one in world.known.scripts or () if step.script in (one.id, one.name)), None)
    if script is not None:
        sent["script"] = script.name
        values, problems = parameters.bind(script.parameters, given, "/parameters")
        if problems:
            raise Invalid(f"The parameters do not fit the script {script.name!r}.", problems)
        given = secret_values.masked(script.parameters, values)
    sent["parameters"] = given
    return _job(step, told, scope, world, sent)


def _command(step: CommandStep, told: StepOutcome, scope: Scope, world: World, sent: Sent) -> Plan:
    sent["command"] = step.command
    bound = variables.bind_command(step.command, step.shell or "bash", scope)
    sent |= {"command": bound.text, "environment": dict(bound.environment)}
    return _job(step, told, scope, world, sent)


def _job(step: JobStep, told: StepOutcome, scope: Scope, world: World, sent: Sent) -> Plan:
    if step.run_as is not None:
        sent["run_as"] = variables.resolve_run_as(step.run_as, scope)
    found, never = _in_waves(step, [_on_host(name, told) for name in hosts_of(step, world)])
    facts = StepFacts(hosts=(*found, *(HostFacts(host=name) for name in never)))
    bad = [host for host in found if host.exit_code]
    waves = -(-len(found) // (step.max_parallel or len(found) or 1))
    seconds = JOB_SECONDS * waves if told.seconds is None else told.seconds
    if not bad and told.outcome != "failure":
        return Plan(sent, Outcome.SUCCESS, "", facts, seconds)
    if not bad:
        return Plan(sent, Outcome.FAILURE, "Failed, as the scenario says.", facts, seconds)
    more = f" (and {len(bad) - 1} more of {len(facts.hosts)} jobs)" if len(bad) > 1 else ""
    reason = f"On {bad[0].host}: exit code {bad[0].exit_code}{more}."
    if never:
        halted = decide(step, _standings(step, found, len(never)), expired=False).halted
        reason = f"{halted} {reason} Not started on {listed(never)}."
    return Plan(sent, Outcome.FAILURE, reason, facts, seconds)


def _in_waves(step: JobStep, hosts: list[HostFacts]) -> tuple[list[HostFacts], list[str]]:
    """The hosts that begin, and the names of those that never do, as too many have failed before."""
    size = step.max_parallel or len(hosts) or 1

    def stops_after(waves: int) -> bool:
        begun = hosts[: waves * size]
        return bool(decide(step, _standings(step, begun, len(hosts) - len(begun)), expired=False).halted)

    waves = bisect_left(range(-(-len(hosts) // size)), True, key=stops_after)
    return hosts[: waves * size], [host.host for host in hosts[waves * size :]]


def _standings(step: JobStep, ended: list[HostFacts], waiting: int) -> list[Standing]:
    """How hosts stand when some have ended: what the scenario says is what the last attempt came to."""
    last = step.retries + 1
    stand = [Standing(JobStatus.FAILED if one.exit_code else JobStatus.COMPLETED, last) for one in ended]
    return [*stand, *[Standing()] * waiting]


def _on_host(name: str, told: StepOutcome) -> HostFacts:
    here = told.hosts.get(name, HostOutcome())
    code = here.exit_code if here.exit_code is not None else told.exit_code
    if code is None:
        code = 1 if told.outcome == "failure" and not told.hosts else 0
    stdout = here.stdout if here.stdout is not None else told.stdout
    stderr = here.stderr if here.stderr is not None else told.stderr
    return HostFacts(host=name, stdout=stdout or "", stderr=stderr or "", exit_code=code)


def _approval(step: ApprovalStep, told: StepOutcome, scope: Scope, world: World, sent: Sent) -> Plan:
    sent["title"] = step.title
    sent["title"] = variables.resolve_text(step.title or step.label, scope)
    sent["description"] = variables.resolve_text(step.description, scope)
    sent["approvers"] = list(step.approvers)
    seconds = JOB_SECONDS if told.seconds is None else told.seconds
    if not told.votes:
        yes = told.outcome != "failure"
        said = "as the scenario says" if told.outcome else "as nothing else is given"
        outcome = Outcome.SUCCESS if yes else Outcome.FAILURE
        return Plan(sent, outcome, f"{'Approved' if yes else 'Rejected'}, {said}.", None, seconds)
    people = _electorate(step, told, world)
    tally = quorum.tally(step.approval_type, range(people), dict(enumerate(told.votes)))
    if tally.status != "pending":
        outcome = Outcome.SUCCESS if tally.status == "approved" else Outcome.FAILURE
        return Plan(sent, outcome, tally.sentence, None, seconds)
    if step.timeout_minutes is None:
        return Plan(sent, None, f"Waits for a decision: {tally.sentence}")
    reason = f"{tally.sentence} {_EXPIRED}"
    return Plan(sent, Outcome.FAILURE, reason, None, float(step.timeout_minutes) * 60)


def _electorate(step: ApprovalStep, told: StepOutcome, world: World) -> int:
    """How many may decide. Without a server: as many as are named, or have voted, and in a role enough."""
    people = world.known.people
    if people is None:
        enough = 2 if step.approval_type == "two_of_many" else 1
        in_role = enough if any(name.startswith("role:") for name in step.approvers) else 1
        return max(len(set(step.approvers)), len(told.votes), in_role)
    left_out = frozenset() if step.allow_self else {world.starter}
    return len({person for name in step.approvers for person in people.get(name, ())} - left_out)


def _condition(step: ConditionStep, told: StepOutcome, scope: Scope, world: World, sent: Sent) -> Plan:
    sent["condition"] = step.condition
    seconds = told.seconds or 0
    if told.outcome is not None:
        return Plan(sent, Outcome(told.outcome), "As the scenario says.", None, seconds)
    outcome = Outcome.TRUE if conditions.evaluate(step.condition, scope) else Outcome.FALSE
    return Plan(sent, outcome, condition_words.why(step.condition, scope), None, seconds)


def _delay(step: DelayStep, told: StepOutcome, scope: Scope, now: datetime, sent: Sent) -> Plan:
    moment = due_at(step, now, scope)
    sent["until"] = moment.isoformat()
    if told.seconds is None and (late := too_late(step, moment, now)):
        return Plan(sent, Outcome.FAILURE, late)
    took = max(0.0, (moment - now).total_seconds()) if told.seconds is None else told.seconds
    if told.outcome == "failure":
        return Plan(sent, Outcome.FAILURE, "Failed, as the scenario says.", None, took)
    reason = "The time has come." if moment > now else "The time had already come."
    return Plan(sent, Outcome.SUCCESS, reason, None, took)


def _checkout(step: PamCheckoutStep, told: StepOutcome, scope: Scope, world: World, sent: Sent) -> Plan:
    known = world.known.identity(step.identity)
    sent["identity"] = step.identity
    sent["reason"] = variables.resolve_text(step.reason, scope)
    facts: dict[str, Value] = {
        "username": told.username or (known.username if known else str(step.identity)),
        "credential_type": told.credential_type or (known.credential_type if known else "password"),
        "domain": told.domain or (known.domain if known else None),
    }
    longest = known.max_minutes if known else None
    minutes = [each for each in (step.duration_minutes, longest) if each is not None]
    planned = _given(told, sent, dict.fromkeys(names_of(step), facts))
    return replace(planned, held=60.0 * min(minutes) if minutes else None)


def _checkin(step: PamCheckinStep, told: StepOutcome, scope: Scope, world: World, sent: Sent) -> Plan:
    sent["checkout"] = list(step.checkout)
    return _given(told, sent, {})


def _given(told: StepOutcome, sent: Sent, identities: Mapping[str, Mapping[str, Value]]) -> Plan:
    seconds = JOB_SECONDS if told.seconds is None else told.seconds
    if told.outcome == "failure":
        return Plan(sent, Outcome.FAILURE, "Failed, as the scenario says.", None, seconds)
    return Plan(sent, Outcome.SUCCESS, "", None, seconds, identities)


_PLANS: dict[type, Callable[..., Plan]] = {
    ScriptStep: _script,
    CommandStep: _command,
    ApprovalStep: _approval,
    ConditionStep: _condition,
    PamCheckoutStep: _checkout,
    PamCheckinStep: _checkin,
}
