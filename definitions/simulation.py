"""A workflow walked on paper: the path it takes under a scenario, what each step would be sent, and why.

Asks what the engine asks (`routing`, `variables`, `conditions`, `quorum`), holds no rule of its own but
a clock of its own: of branches side by side the one that takes less time comes first.
"""

import heapq
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from pydantic import BaseModel

from definitions import parameters, routing, secret_values, variables
from definitions.catalogue import Catalogue
from definitions.delays import later
from definitions.errors import Invalid
from definitions.examination import Reading
from definitions.lifecycles.instance import InstanceStatus, StepStatus
from definitions.nearest import pointer_to
from definitions.outputs import outputs_of
from definitions.parameters import Value
from definitions.problems import Problem
from definitions.rollout import not_in_time
from definitions.routing import Active, Outcome
from definitions.scenario import Scenario, read_scenario
from definitions.simulated_sessions import TIME_OVER, Sessions
from definitions.simulated_steps import Plan, World, limit_of, plan, stopped
from definitions.steps import PamCheckinStep, PamCheckoutStep, ParallelStep, Step
from definitions.variables import HostFacts, Scope, StepFacts, checkout_over
from definitions.workflow import Workflow

MAX_SENT = 4 * 1024 * 1024
"""Characters of all that one simulation tells: what is sent, what hosts leave, what is put out."""
_OF_A_HOST = 64
"""Characters that a host's result takes beside what it printed."""
_LAST = 1_000_000
"""Of what happens at one moment a deadline comes last."""
_NO_WAY = frozenset(["unknown-target", "cycle"])
"""Problems with which a walk would not come to an end."""


class SimulatedStep(BaseModel):
    """One step of the path."""

    step: str
    type: str
    name: str
    branch: str
    """The branch it lies in: `p.0/`, or nothing at the top."""
    status: StepStatus
    outcome: Outcome | None = None
    """None: it has not ended."""
    input: dict[str, Value]
    """What it would be sent, every reference resolved."""
    hosts: tuple[HostFacts, ...] = ()
    """What its jobs leave."""
    began: float
    """Seconds after the start."""
    ended: float | None = None
    reason: str = ""
    """Why it ended so, and where that leads."""
    target: str | None = None
    """The step taken next, or `end`, `fail`, `cancelled`."""


class Simulation(BaseModel):
    """What would happen."""

    status: InstanceStatus
    reason: str
    inputs: dict[str, Value]
    """As they would be kept: a secret one is masked."""
    outputs: dict[str, Value]
    """Of an instance that completes."""
    path: list[SimulatedStep]
    """In the order in which the steps begin."""
    problems: list[Problem]
    """What the proof says of the definition, with the checks that were left out."""


def simulate(
    reading: Reading,
    scenario: object,
    now: datetime,
    *,
    known: Catalogue | None = None,
    targets: Mapping[str, tuple[str, ...]] | None = None,
    starter: int | None = None,
    going_on: Callable[[], bool] = lambda: True,
) -> Simulation:
    """Walk the workflow that was read under the scenario's document.

    `targets`: the hosts a target names, and `starter`: who starts it, where a server knows. `going_on` is
    asked at every step whether somebody still waits. Raises `Invalid` with every problem when there is
    nothing to walk.
    """
    problems = reading.prove(known)
    workflow = reading.workflow
    if workflow is None or any(problem.code in _NO_WAY for problem in problems):
        raise Invalid("This definition can't be walked.", problems)
    given, wrong = read_scenario(scenario, workflow, "/scenario")
    inputs: dict[str, Value] = {}
    if given is not None:
        inputs, wrong = _bound(workflow, given)
    if given is None or wrong:
        raise Invalid("The scenario does not fit the workflow.", wrong)
    known = known or Catalogue()
    workflow = known.identities_by_name(workflow)
    walk = _Walk(workflow, World(given, known, targets or {}, starter), inputs, now, going_on)
    walk.run()
    return Simulation(
        status=walk.status,
        reason=walk.reason,
        inputs=inputs,
        outputs=walk.outputs,
        path=list(walk.path.values()),
        problems=problems + walk.problems,
    )


def _bound(workflow: Workflow, scenario: Scenario) -> tuple[dict[str, Value], list[Problem]]:
    """The inputs as kept. Of a secret one no value is needed: none would be shown."""
    marks = dict.fromkeys(secret_values.names(workflow.inputs), secret_values.MASK)
    given = {**scenario.inputs, **marks}
    values, problems = parameters.bind(workflow.inputs, given, "/scenario/inputs")
    return secret_values.masked(workflow.inputs, values), problems


class _Walk:
    """The state of one simulated instance."""

    def __init__(
        self,
        workflow: Workflow,
        world: World,
        inputs: dict[str, Value],
        now: datetime,
        going_on: Callable[[], bool],
    ) -> None:
        self.workflow = workflow
        self.world = world
        self.inputs = inputs
        self.began = world.scenario.begins(now)
        self.going_on = going_on
        self.clock = 0.0
        self.told = 0
        self.frontier = routing.start(workflow).frontier
        self.routed: dict[str, str] = {}
        self.results: dict[str, StepFacts | None] = {}
        self.sessions = Sessions()
        self.path: dict[Active, SimulatedStep] = {}
        self.ends: list[tuple[float, int, Active, Plan]] = []
        self.status = InstanceStatus.RUNNING
        self.reason = ""
        self.outputs: dict[str, Value] = {}
        self.problems: list[Problem] = []

    def run(self) -> None:
        """From the first step to the end, or to where it waits for ever."""
        while self.status is InstanceStatus.RUNNING:
            if not self.going_on():
                raise Invalid("The simulation takes too long.")
            if self._begin_next() or self._join():
                continue
            while self.ends and self.ends[0][2] not in self.frontier:
                heapq.heappop(self.ends)  # given up with its branch
            if not self.ends:
                self.status = InstanceStatus.PAUSED
                waiting = [one for one in self.path.values() if one.status is StepStatus.WAITING]
                self.reason = " ".join(f"{one.step}: {one.reason}" for one in waiting)
                continue
            self.clock, _, active, planned = heapq.heappop(self.ends)
            assert planned.outcome is not None
            self._close(active, planned.outcome, planned)

    def _begin_next(self) -> bool:
        """Begin a step of the frontier that has not begun; whether there was one."""
        active = next((active for active in self.frontier if active not in self.path), None)
        if active is None:
            return False
        step = self.workflow.step(active.step)
        if isinstance(step, ParallelStep):
            self.frontier = routing.fork(self.workflow, self.frontier, active)
            labels: list[Value] = [*step.branch_labels()]
            self._enter(active, step, Plan({"join": step.join, "branches": labels}, None))
            limit = limit_of(step)
            if limit is not None:
                late = Plan({}, Outcome.FAILURE, not_in_time(step))
                heapq.heappush(self.ends, (self.clock + limit, _LAST + len(self.path), active, late))
            return True
        planned = plan(step, self._scope(step.id), later(self.began, self.clock), self.world)
        planned = self._while_held(step, planned)
        self._enter(active, step, planned)
        if isinstance(step, PamCheckinStep) and planned.outcome is Outcome.SUCCESS:
            self.sessions.check_in(step, self.clock)  # it never waits: given up, it is done all the same
        if planned.outcome is not None:
            heapq.heappush(self.ends, (self.clock + planned.seconds, len(self.path), active, planned))
        return True

    def _while_held(self, step: Step, planned: Plan) -> Plan:
        """The same, or the failure if what it runs as is taken from it: jobs end with their checkout."""
        if "run_as" not in planned.sent:
            return planned
        name = str(planned.sent["run_as"])
        left = self.sessions.seconds_left(name, self.clock, lambda other: self._sees(step.id, other))
        return planned if planned.seconds <= left else stopped(planned, left, checkout_over(name, TIME_OVER))

    def _sees(self, reader: str | None, step: str) -> bool:
        """Whether a step knows what another has checked out; the outputs, of which none reads, know all."""
        return reader is None or not self.workflow.beside(step, reader)

    def _enter(self, active: Active, step: Step, planned: Plan) -> None:
        self._count(len(json.dumps(planned.sent)))
        self._count_hosts(planned.facts.hosts if planned.facts else ())
        waits = planned.outcome is None and not isinstance(step, ParallelStep)
        self.path[active] = SimulatedStep(
            step=step.id,
            type=step.type,
            name=step.label,
            branch=self.workflow.branch(step.id),
            status=StepStatus.WAITING if waits else StepStatus.RUNNING,
            input=planned.sent,
            hosts=planned.facts.hosts if planned.facts else (),
            began=self.clock,
            reason=planned.reason if waits else "",
        )

    def _count(self, characters: int) -> None:
        self.told += characters
        if self.told > MAX_SENT:
            raise Invalid(f"What the steps are sent and leave comes to more than {MAX_SENT} characters.")

    def _count_hosts(self, hosts: Sequence[HostFacts]) -> None:
        """What one prints the scenario says once, and the path tells of each host."""
        sizes: dict[tuple[str, str], int] = {}
        for host in hosts:
            printed = (host.stdout, host.stderr)
            if printed not in sizes:
                sizes[printed] = len(json.dumps(printed))
            self._count(_OF_A_HOST + len(host.host) + sizes[printed])

    def _join(self) -> bool:
        """Close a parallel step whose branches have joined; whether there was one."""
        for active in self.frontier:
            step = self.workflow.step(active.step)
            if isinstance(step, ParallelStep):
                outcome = routing.joined(self.workflow, self.frontier, step.id, self.routed)
                if outcome is not None:
                    self._close(active, outcome, Plan({}, outcome, routing.how_joined(step, outcome)))
                    return True
        return False

    def _close(self, active: Active, outcome: Outcome, planned: Plan) -> None:
        advance = routing.advance(self.workflow, self.frontier, active, outcome)
        self.frontier = advance.frontier
        self.routed[active.step] = advance.target
        self.results[active.step] = planned.facts
        step = self.workflow.step(active.step)
        if isinstance(step, PamCheckoutStep) and outcome is Outcome.SUCCESS:
            until = None if planned.held is None else self.clock + planned.held
            self.sessions.open(step, planned.identities, until)
        reason = " ".join(part for part in (planned.reason, advance.reason) if part)
        status = StepStatus.FAILED if outcome is Outcome.FAILURE else StepStatus.COMPLETED
        self._leave(active, status, reason, outcome, advance.target)
        for dropped in advance.dropped:
            self._leave(dropped, StepStatus.CANCELLED, f"Another branch of {active.step} came first.")
        if advance.ended is not None:
            self.status, self.reason = advance.ended, f"{active.step}: {reason}"
            for other, one in self.path.items():
                if one.ended is None:
                    self._leave(other, StepStatus.CANCELLED, "The instance ended.")
            if self.status is InstanceStatus.COMPLETED:
                self._put_out()

    def _leave(
        self,
        active: Active,
        status: StepStatus,
        reason: str,
        outcome: Outcome | None = None,
        target: str | None = None,
    ) -> None:
        fields = {"status": status, "outcome": outcome, "reason": reason, "target": target}
        # What was stopped leaves nothing that later steps can read.
        kept = {} if outcome is not None else {"hosts": ()}
        self.path[active] = self.path[active].model_copy(update={**fields, **kept, "ended": self.clock})

    def _put_out(self) -> None:
        """Resolve the outputs; what has no value is a problem of its own."""
        self.outputs, missing = outputs_of(self.workflow, self._scope(None))
        self._count(len(json.dumps(self.outputs)))
        fix = "Refer to what is always there."
        self.problems += [
            Problem(
                pointer=pointer_to("/outputs", name), code="output-without-value", message=message, fix=fix
            )
            for name, message in missing.items()
        ]

    def _scope(self, reader: str | None) -> Scope:
        """What a step may refer to, or at the end the outputs."""
        identities, over = self.sessions.known(self.clock, lambda step: self._sees(reader, step))
        return variables.scope(
            inputs=self.inputs,
            instance={"id": 1, "started_by": self.world.scenario.started_by},
            results=self.results,
            identities=identities,
            over=over,
        )
