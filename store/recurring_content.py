"""What a recurring job dispatches: what is wrong with it now, whose right it takes, and making its children.

Children are made by the same code as jobs, executions and instances that a person asks for.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from definitions import host_references
from definitions.errors import Conflict, Invalid, NotFound, OpsgateError
from definitions.job_types import PRIORITY_NAMES
from definitions.nearest import pointer_to
from definitions.parameters import Parameter, bind
from definitions.permissions import Actor, require
from definitions.problems import Problem
from definitions.recurring_job import JobTemplate, RecurringJob, WorkflowTemplate
from definitions.secret_values import names
from store import executions, instances, jobs, scripts, targets, workflows
from store.connection import Database, Tx

_OF_SAVED = frozenset({"script", "script_id", "parameters"})
"""What the payload of a job that runs a saved script may say."""


class Children(NamedTuple):
    """What one tick made."""

    jobs: list[int]
    instances: list[int]


def rights(wanted: RecurringJob) -> list[str]:
    """The permissions that making it, and every tick of it, take."""
    needed = ["jobs.manage"]
    if wanted.workflow is not None:
        needed.append("workflows.manage")
    if wanted.job is not None and _saved_script(wanted.job) is not None:
        needed.append("scripts.manage")
    return needed


def require_rights(actor: Actor, wanted: RecurringJob) -> None:
    """Raise `NotPermitted` unless the actor may do what it dispatches."""
    for permission in rights(wanted):
        require(actor, permission)


async def problems_of(tx: Tx, wanted: RecurringJob) -> list[Problem]:
    """Everything that would be refused at a tick now: hosts, script and parameters, workflow and inputs."""
    if wanted.workflow is not None:
        return await _workflow_problems(tx, wanted.workflow)
    assert wanted.job is not None
    problems = await _host_problems(tx, wanted.job.hosts, "/job/hosts")
    if _saved_script(wanted.job) is not None:
        problems += await _script_problems(tx, wanted.job)
    return problems


async def dispatch(db: Database, tx: Tx, actor: Actor, wanted: RecurringJob) -> Children:
    """Make the children of one tick in the caller's transaction; raises what a person would be told."""
    require_rights(actor, wanted)
    if wanted.workflow is not None:
        of = wanted.workflow
        return Children([], [await instances.start_in(db, tx, actor, of.name, of.hosts, of.inputs)])
    assert wanted.job is not None
    job = wanted.job
    priority = None if job.priority is None else PRIORITY_NAMES.index(job.priority)
    script = _saved_script(job)
    if script is None:
        made = await jobs.dispatch_in(tx, db.keys, actor, job.type, job.hosts, job.payload, priority)
        return Children(made, [])
    chosen: dict[str, Any] = {} if priority is None else {"priority": priority}
    parameters = job.payload.get("parameters") or {}
    reason = f"A tick of the recurring job {wanted.name}."
    execution = await executions.execute_in(
        tx, db.keys, actor, script, job.hosts, parameters, reason=reason, **chosen
    )
    return Children(execution.jobs, [])


def _saved_script(job: JobTemplate) -> int | str | None:
    script: int | str | None = job.payload.get("script", job.payload.get("script_id"))
    return script


async def _host_problems(tx: Tx, hosts: tuple[str, ...], pointer: str) -> list[Problem]:
    try:
        await targets.resolve(tx, hosts, pointer)
    except Invalid as refused:
        return list(refused.problems)
    return []


async def _workflow_problems(tx: Tx, wanted: WorkflowTemplate) -> list[Problem]:
    where = "/workflow/hosts"
    try:
        row = await workflows.find(tx, wanted.name)
        workflow = await workflows.load_version(tx, row["id"], instances.startable(row))
    except (NotFound, Conflict) as refused:
        problems = await _host_problems(tx, wanted.hosts, where)
        return [*problems, _refused("/workflow/name", refused, "Publish it, or name another.")]
    needed = wanted.hosts or host_references.needs_hosts(workflow)
    problems = await _host_problems(tx, wanted.hosts, where) if needed else []
    return [*problems, *_value_problems(workflow.inputs, wanted.inputs, "/workflow/inputs")]


async def _script_problems(tx: Tx, job: JobTemplate) -> list[Problem]:
    payload, where = job.payload, "/job/payload"
    problems = [
        Problem(
            pointer=pointer_to(where, key),
            code="unknown-key",
            message=f"A job that runs a saved script has no `{key}`: it is the script's.",
            fix="Remove it.",
        )
        for key in sorted(payload.keys() - _OF_SAVED)
    ]
    if job.type != "script":
        message = "Only a job of type `script` runs a saved script."
        problems.append(
            Problem(pointer="/job/type", code="wrong-type", message=message, fix="Write `type: script`.")
        )
    parameters = payload.get("parameters") or {}
    ref = _saved_script(job)
    key = "script" if "script" in payload else "script_id"
    if not isinstance(ref, str | int) or isinstance(ref, bool) or not isinstance(parameters, dict):
        message = "`script` is a name or an id, and `parameters` an object."
        return [
            *problems,
            Problem(pointer=where, code="wrong-type", message=message, fix="Correct what does not fit."),
        ]
    try:
        row = await executions.runnable(tx, ref)
        script = await scripts.load_version(tx, row["id"], row["version"])
    except (NotFound, Conflict) as refused:
        return [*problems, _refused(f"{where}/{key}", refused, "Save it, or name another.")]
    return [*problems, *_value_problems(script.parameters, parameters, f"{where}/parameters")]


def _value_problems(
    declared: tuple[Parameter, ...], given: dict[str, Any], pointer: str
) -> Iterator[Problem]:
    yield from bind(declared, given, pointer)[1]
    for name in sorted(names(declared) & {key for key, value in given.items() if value is not None}):
        yield Problem(
            pointer=pointer_to(pointer, name),
            code="secret-kept",
            message=f"`{name}` is a secret, and a recurring job keeps none.",
            fix="Leave it out; a script that needs one can't be made recurring.",
        )


def _refused(pointer: str, error: OpsgateError, fix: str) -> Problem:
    return Problem(pointer=pointer, code="not-available", message=error.message, fix=fix)
