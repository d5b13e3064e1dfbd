"""A scenario: what a simulation takes for given, the inputs, the hosts and how each step comes out.

Whatever a scenario leaves out goes well: a step succeeds, prints nothing and exits with 0, a gate is
approved. Reading one finds every problem at once.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from definitions.delays import instant
from definitions.errors import Invalid
from definitions.nearest import nearest, pointer_to
from definitions.problems import Problem
from definitions.reading import kind_of, not_json, read
from definitions.steps import ApprovalStep, ConditionStep, JobStep, PamCheckoutStep, ParallelStep, Step
from definitions.steps.step import YEAR_SECONDS
from definitions.workflow import Workflow, all_steps

ExitCode = Annotated[int, Field(strict=True, ge=-(2**31), lt=2**32)]
HostName = Annotated[str, Field(min_length=1, max_length=253)]


class HostOutcome(BaseModel):
    """What a step's job leaves on one host; None: what the step's outcome says for all."""

    model_config = ConfigDict(frozen=True)

    stdout: str | None = None
    stderr: str | None = None
    exit_code: ExitCode | None = None


class StepOutcome(HostOutcome):
    """How one step comes out."""

    outcome: Literal["success", "failure", "true", "false"] | None = None
    """None: by its exit codes, its votes, its condition."""
    hosts: dict[HostName, HostOutcome] = Field(default_factory=dict)
    """What is different on one host."""
    votes: tuple[Literal["approve", "reject"], ...] = Field(default=(), max_length=500)
    """Of people who may decide, each once, in this order."""
    username: str | None = None
    credential_type: str | None = None
    domain: str | None = None
    seconds: Annotated[float, Field(ge=0, le=YEAR_SECONDS, allow_inf_nan=False)] | None = None
    """How long it takes: which of several branches comes first hangs on it."""


class Scenario(BaseModel):
    """What is given."""

    model_config = ConfigDict(frozen=True)

    inputs: dict[str, JsonValue] = Field(default_factory=dict)
    hosts: Annotated[tuple[HostName, ...], Field(min_length=1, max_length=1000)] = ("host-1",)
    """Of the instance, for steps that name none."""
    started_by: Annotated[str, Field(min_length=1, max_length=200)] = "you"
    now: str | None = None
    """When it begins, ISO 8601 with an offset."""
    steps: dict[str, StepOutcome] = Field(default_factory=dict)

    def of(self, step_id: str) -> StepOutcome:
        """How a step comes out."""
        return self.steps.get(step_id) or StepOutcome()

    def begins(self, now: datetime) -> datetime:
        """The moment it begins; `now` unless it says another."""
        begins = now if self.now is None else instant(self.now)
        if not 1970 <= begins.year < 3000 and self.now is not None:
            raise Invalid("`now` lies in the years 1970 to 2999.")
        return begins


_FOR_ALL = frozenset(["outcome", "seconds"])
_OF_JOBS = frozenset(["stdout", "stderr", "exit_code", "hosts"])
_OF_CHECKOUTS = frozenset(["username", "credential_type", "domain"])


def read_scenario(
    document: object, workflow: Workflow, pointer: str = ""
) -> tuple[Scenario | None, list[Problem]]:
    """The scenario, if it fits the workflow, and every problem."""
    odd = not_json(document, pointer)
    if odd or not isinstance(document, dict):
        return (None, odd) if odd else read(Scenario, document, pointer, "scenario")
    fields = _given(document)
    steps, problems = _read_steps(fields.pop("steps", {}), workflow, pointer_to(pointer, "steps"))
    scenario, found = read(Scenario, {**fields, "steps": steps}, pointer, "scenario")
    problems = [*found, *problems]
    if scenario is None or problems:
        return None, problems
    try:
        scenario.begins(datetime.min)
    except Invalid as refusal:
        message = refusal.message.replace("`until`", "`now`")
        fix = "Write for example 2027-01-31T08:00:00+01:00."
        return None, [_problem(pointer_to(pointer, "now"), "bad-instant", message, fix)]
    return scenario, []


def _given(document: dict[str, object]) -> dict[str, object]:
    """The fields; one that is null counts as not given."""
    return {key: value for key, value in document.items() if value is not None}


def _read_steps(
    document: object, workflow: Workflow, pointer: str
) -> tuple[dict[str, StepOutcome], list[Problem]]:
    if not isinstance(document, dict):
        message = f"`steps` must be an object, not {kind_of(document)}."
        return {}, [_problem(pointer, "wrong-type", message, "Write `step id: outcome` pairs.")]
    known = {step.id: step for step in all_steps(workflow.steps)}
    steps: dict[str, StepOutcome] = {}
    problems: list[Problem] = []
    for step_id, item in document.items():
        where = pointer_to(pointer, step_id)
        if step_id not in known:
            fix = nearest(step_id, known) or f"Known: {', '.join([*known][:10])}."
            problems.append(_problem(where, "unknown-step", f"There is no step `{step_id}`.", fix))
            continue
        outcome, found = _read_outcome(item, known[step_id], where)
        problems += found
        if outcome is not None:
            steps[step_id] = outcome
    return steps, problems


def _read_outcome(document: object, step: Step, pointer: str) -> tuple[StepOutcome | None, list[Problem]]:
    if isinstance(document, str):  # `step: failure` is short for `step: {outcome: failure}`
        document = {"outcome": document}
    fields, problems = _printed(document, pointer)
    hosts: dict[str, object] = {}
    if isinstance(fields, dict) and isinstance(fields.get("hosts"), dict):
        for name, item in fields["hosts"].items():
            where = pointer_to(pointer, "hosts", name)
            printed, found = _printed(item, where)
            host, more = read(HostOutcome, printed, where, "host's outcome")
            problems += found + more
            hosts[name] = host or HostOutcome()
        fields = {**fields, "hosts": hosts}
    outcome, found = read(StepOutcome, fields, pointer, "step's outcome")
    problems += found
    if outcome is not None:
        problems += _unfit(outcome, step, pointer)
    return (None if problems else outcome), problems


def _printed(document: object, pointer: str) -> tuple[object, list[Problem]]:
    """The same with `json` written as the `stdout` it stands for."""
    if not isinstance(document, dict):
        return document, []
    fields = _given(document)
    if "json" not in document:
        return fields, []
    text = json.dumps(fields.pop("json", None), ensure_ascii=False)
    if "stdout" not in fields:
        return {**fields, "stdout": text}, []
    message = "`json` is what is printed, and `stdout` too."
    return fields, [_problem(pointer_to(pointer, "json"), "given-twice", message, "Keep one of them.")]


def _unfit(outcome: StepOutcome, step: Step, pointer: str) -> Iterator[Problem]:
    """What a step of that kind can't come out as."""
    allowed = _FOR_ALL
    if isinstance(step, JobStep):
        allowed |= _OF_JOBS
    elif isinstance(step, ApprovalStep):
        allowed |= {"votes"}
    elif isinstance(step, PamCheckoutStep):
        allowed |= _OF_CHECKOUTS
    elif isinstance(step, ParallelStep):
        allowed = frozenset()
    for field in sorted(outcome.model_fields_set - allowed):
        message = f"A step of type {step.type} has no `{field}` to give."
        fix = f"It may have {', '.join(sorted(allowed))}." if allowed else "Its branches decide."
        yield _problem(pointer_to(pointer, field), "unfit-outcome", message, fix)
    words = ("true", "false", "failure") if isinstance(step, ConditionStep) else ("success", "failure")
    if outcome.outcome is not None and outcome.outcome not in words:
        message = f"A step of type {step.type} does not come out as {outcome.outcome}."
        yield _problem(
            pointer_to(pointer, "outcome"), "unfit-outcome", message, f"Write {' or '.join(words)}."
        )
    codes = [outcome.exit_code, *(host.exit_code for host in outcome.hosts.values())]
    if outcome.outcome == "success" and any(codes):
        message = "A step succeeds only when every exit code is 0."
        yield _problem(pointer_to(pointer, "outcome"), "contradiction", message, "Leave out one of the two.")
    if outcome.outcome is not None and outcome.votes:
        message = "The votes say how it comes out, and `outcome` too."
        yield _problem(pointer_to(pointer, "votes"), "contradiction", message, "Leave out one of the two.")


def _problem(pointer: str, code: str, message: str, fix: str) -> Problem:
    return Problem(pointer=pointer, code=code, message=message, fix=fix)
