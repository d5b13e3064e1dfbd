"""What a person sees of an instance: frozen models, and the SQL that fills them. Changes nothing.

Somebody without `jobs.view` sees the steps, what each was sent and how it ended, but no job: of what jobs
printed only what a later step was sent.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from definitions.lifecycles.instance import StepStatus
from definitions.parameters import Value
from definitions.permissions import Actor
from store import approval_views, job_views, references, step_checkouts, step_jobs, waits
from store.approval_views import ApprovalView
from store.connection import Row, Tx
from store.step_checkouts import Held, StepCheckout
from store.step_jobs import StepJobView


class HostName(BaseModel):
    """A host the instance was started on."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str


class StepResultView(BaseModel):
    """One visit of one step."""

    model_config = ConfigDict(frozen=True)

    step_id: str
    visit: int
    kind: str
    name: str
    status: str
    input: dict[str, Value]
    """The step's templates resolved, as sent."""
    outcome: str | None
    reason: str
    """Why it ended so, and why the next step was taken."""
    routed_to: str | None
    wake_at: datetime | None
    deadline: datetime | None
    """By which it has to be over, if its `timeout_minutes` says so."""
    started_at: datetime
    ended_at: datetime | None
    jobs: list[StepJobView]
    not_started: list[HostName]
    """The hosts it is meant for that have no job: not yet, or, when it has ended, never: see `reason`."""
    approval_id: int | None
    checkout: StepCheckout | None


class FrontierStep(BaseModel):
    """A step that is active now."""

    model_config = ConfigDict(frozen=True)

    step: str
    visit: int


class InstanceRow(BaseModel):
    """One line of a list of instances."""

    model_config = ConfigDict(frozen=True)

    id: int
    workflow_id: int
    workflow_name: str
    workflow_version: int
    status: str
    hosts: list[HostName]
    started_by_name: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    reason: str
    """Why it ended as it did, or what it was last seen waiting for."""
    frontier: list[FrontierStep]
    recurring_job_id: int | None
    """The recurring job whose tick started it."""
    tick_id: int | None


class Resume(BaseModel):
    """That somebody had an instance go on after it had ended."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    by: str
    steps: list[str]
    """Where it went on."""
    visit: int
    was: str
    """The status it had ended with."""
    reason: str
    """Why it had ended so."""


class InstanceView(InstanceRow):
    """Everything about one instance."""

    inputs: dict[str, Value]
    """With a mark in the place of each secret that was given."""
    outputs: dict[str, Value] | None
    """What the workflow gives back, once it has completed; null: what has no value."""
    resumes: list[Resume]
    rerun_of: int | None
    """The instance that this one repeats."""
    waits_for: str | None
    """One sentence while it is not over: what it waits for, and on whom."""
    cancel_requested_at: datetime | None
    cancel_reason: str | None
    flow_run_id: str | None
    steps: list[StepResultView]
    """In the order in which they were reached."""
    approvals: list[ApprovalView]
    """The open requests."""


_HOSTS = """(SELECT coalesce(json_agg(json_build_object('id', h.id, 'name', h.name)
    ORDER BY array_position(i.host_ids, h.id)), '[]') FROM hosts h WHERE h.id = ANY (i.host_ids))"""

_COLUMNS = f"""i.id, i.workflow_id, w.name AS workflow_name, i.workflow_version, i.status, i.started_by_name,
    i.created_at, i.started_at, i.ended_at, i.reason, i.frontier, i.recurring_job_id, i.tick_id,
    {_HOSTS} AS hosts"""


_NOT_STARTED = """CASE WHEN s.host_ids = '{}' THEN '[]'::json ELSE (
    SELECT coalesce(json_agg(json_build_object('id', h.id, 'name', h.name)
                    ORDER BY array_position(s.host_ids, h.id)), '[]')
    FROM hosts h WHERE h.id = ANY (s.host_ids) AND NOT EXISTS (
        SELECT 1 FROM jobs j WHERE j.instance_id = s.instance_id AND j.step_id = s.step_id
          AND j.visit = s.visit AND j.host_id = h.id)) END"""


async def rows(tx: Tx, condition: str, *args: object) -> list[InstanceRow]:
    """The instances that `condition` (SQL of ours, over `i` and `w`) picks."""
    found = await tx.fetch(
        f"SELECT {_COLUMNS} FROM instances i JOIN workflows w ON w.id = i.workflow_id {condition}", *args
    )
    return [InstanceRow(**row) for row in found]


async def one(tx: Tx, actor: Actor, instance_id: int) -> InstanceView:
    """Everything about one instance, or NotFound."""
    row = await tx.fetchrow(
        f"""SELECT {_COLUMNS}, i.inputs, i.outputs, i.resumes, i.rerun_of, i.cancel_requested_at,
                   i.cancel_reason, i.flow_run_id::text AS flow_run_id
            FROM instances i JOIN workflows w ON w.id = i.workflow_id
            WHERE i.id = $1""",
        instance_id,
    )
    if row is None:
        raise references.missing("instance", instance_id)
    held = await step_checkouts.of_instance(tx, instance_id)
    steps = await _steps(tx, actor, instance_id, held)
    open_requests = await approval_views.select(
        tx, actor, "WHERE r.instance_id = $1 AND r.status = 'pending' ORDER BY r.id", instance_id
    )
    fields: dict[str, Any] = dict(row)
    waits_for = None if row["ended_at"] is not None else _waits_for(row, steps, open_requests, held)
    return InstanceView(**fields, steps=steps, approvals=open_requests, waits_for=waits_for)


async def _steps(
    tx: Tx, actor: Actor, instance_id: int, held: Mapping[tuple[str, int], Held]
) -> list[StepResultView]:
    found = await tx.fetch(
        f"""SELECT s.step_id, s.visit, s.kind, s.name, s.status, s.input, s.outcome, s.reason, s.routed_to,
                  s.wake_at, s.deadline, s.started_at, s.ended_at, r.id AS approval_id,
                  {_NOT_STARTED} AS not_started
           FROM step_results s LEFT JOIN approval_requests r
             ON r.instance_id = s.instance_id AND r.step_id = s.step_id AND r.visit = s.visit
           WHERE s.instance_id = $1 ORDER BY s.id""",
        instance_id,
    )
    jobs = await step_jobs.of_instance(tx, instance_id) if job_views.may_see(actor) else {}
    views: list[StepResultView] = []
    for row in found:
        visit = row["step_id"], row["visit"]
        checkout = held[visit].view if visit in held else None
        views.append(StepResultView(**row, jobs=jobs.get(visit, []), checkout=checkout))
    return views


def _waits_for(
    row: Row,
    steps: list[StepResultView],
    requests: list[ApprovalView],
    held: Mapping[tuple[str, int], Held],
) -> str:
    """One sentence: what an unfinished instance waits for now."""
    if row["cancel_requested_at"] is not None:
        return "It is being cancelled."
    if row["status"] == "queued":
        return "A worker has to take it up."
    sentences = [waits.for_request(request) for request in requests]
    names = {(step.step_id, step.visit): step.name or step.step_id for step in steps}
    turns = {visit: each.view.waits for visit, each in held.items() if each.view.waits is not None}
    # An instance that was resumed asks for a checkout in a visit that the step itself did not have.
    sentences += [f"{names.get(visit, visit[0])}: {turn}" for visit, turn in turns.items()]
    for step in steps:
        # A parallel step waits for what its branches wait for.
        told = step.approval_id is not None or (step.step_id, step.visit) in turns
        if step.ended_at is None and not told and step.kind != "parallel":
            sentences.append(_open(step))
    if sentences:
        return " ".join(sentences)
    following = ", ".join(active["step"] for active in row["frontier"])
    return f"It is about to run {following}." if following else "It is about to end."


def _open(step: StepResultView) -> str:
    """What an open step waits for that neither is a gate nor has asked for a checkout."""
    name = step.name or step.step_id
    if step.status == StepStatus.WAITING and "run_as" in step.input:
        return waits.for_identity(name, str(step.input["run_as"]), step.deadline)
    later = [host.name for host in step.not_started]
    return waits.for_step(name, step.wake_at, step.jobs, later, step.deadline)
