"""Instances: start one, look at it, run it again.

Cancelling is `store.instance_cancel`, going on `store.instance_resume`, finding `store.instance_lists`.
The engine's own moves (lease, frontier, results) are in `store.engine`, never here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from definitions import host_references, routing, secret_values
from definitions.errors import Conflict, Invalid
from definitions.parameters import Value, bind
from definitions.permissions import Actor, require
from definitions.problems import Problem, has_errors
from definitions.steps import ApprovalStep, ScriptStep
from definitions.workflow import Workflow, all_steps
from store import (
    approvals,
    audit,
    channels,
    checkouts_ahead,
    instance_views,
    references,
    sealed_values,
    targets,
    workflows,
)
from store.askers import Asker
from store.connection import Database, Row, Tx
from store.instance_cancel import cancel
from store.instance_lists import listing
from store.instance_resume import resume
from store.instance_views import InstanceView
from store.targets import HostRef
from store.wakes import notify

__all__ = ["cancel", "listing", "rerun", "resume", "show", "start", "start_in", "startable"]


async def start(
    db: Database,
    actor: Actor,
    workflow_ref: int | str,
    hosts: Sequence[int | str],
    inputs: Mapping[str, object],
) -> InstanceView:
    """Start the published version of a workflow on some hosts; on none, when no step runs on the instance's.

    Refused when it could not reach its end: nobody may decide at a gate, or a script is gone.
    """
    async with db.transaction() as tx:
        instance_id = await start_in(db, tx, actor, workflow_ref, hosts, inputs)
    async with db.connection() as tx:
        return await instance_views.one(tx, actor, instance_id)


async def start_in(
    db: Database,
    tx: Tx,
    actor: Actor,
    workflow_ref: int | str,
    hosts: Sequence[int | str],
    inputs: Mapping[str, object],
) -> int:
    """`start` in the caller's transaction: for the ticks of recurring jobs too. Returns the instance's id."""
    require(actor, "workflows.manage")
    row = await workflows.find(tx, workflow_ref)
    return await _start(db, tx, actor, row, startable(row), hosts, inputs)


async def rerun(
    db: Database,
    actor: Actor,
    instance_id: int,
    secrets: Mapping[str, Value] | None = None,
    *,
    same_version: bool = False,
) -> InstanceView:
    """Start the same workflow on the same hosts with the same inputs: its published version, or the one
    that the instance ran. One that does not take these inputs any more is refused, never another taken.

    `secrets`: the secret inputs it was given, which are erased when it ends.
    """
    require(actor, "workflows.manage")
    async with db.transaction() as tx:
        before = await tx.fetchrow(
            "SELECT workflow_id, workflow_version, host_ids, inputs FROM instances WHERE id = $1", instance_id
        )
        if before is None:
            raise references.missing("instance", instance_id)
        row = await workflows.find(tx, before["workflow_id"])
        ran: int = before["workflow_version"]
        version = ran if startable(row) == ran or same_version else startable(row)
        pinned = await workflows.load_version(tx, row["id"], ran)
        inputs, problems = secret_values.given_again(pinned.inputs, before["inputs"], secrets or {})
        if problems:
            raise Invalid(problems[0].message, problems)
        try:
            hosts = before["host_ids"]
            started = await workflows.load_version(tx, row["id"], version)
            if open_ones := secret_values.laid_open(pinned.inputs, started.inputs, inputs):
                raise Invalid(open_ones[0].message, open_ones)
            again = await _start(db, tx, actor, row, version, hosts, inputs, rerun_of=instance_id)
        except Invalid as refusal:
            if version == ran:
                raise
            message = (
                f"{refusal.message} Instance {instance_id} ran version {ran}, which can be run again too."
            )
            raise Invalid(message, refusal.problems) from refusal
    async with db.connection() as tx:
        return await instance_views.one(tx, actor, again)


async def show(db: Database, actor: Actor, instance_id: int) -> InstanceView:
    """Everything about one instance."""
    require(actor, "workflows.view")
    async with db.connection() as tx:
        return await instance_views.one(tx, actor, instance_id)


def startable(row: Row) -> int:
    """The version of a workflow that new instances run."""
    if row["archived_at"] is not None:
        raise Conflict(f"The workflow {row['name']!r} is archived.")
    if row["published_version"] is None:
        raise Conflict(f"The workflow {row['name']!r} has no published version yet; publish it first.")
    version: int = row["published_version"]
    return version


async def _start(
    db: Database,
    tx: Tx,
    actor: Actor,
    row: Row,
    version: int,
    hosts: Sequence[int | str],
    inputs: Mapping[str, object],
    rerun_of: int | None = None,
) -> int:
    """Start a version; all that is wrong with the hosts, the inputs and the scripts is said at once."""
    workflow = await workflows.load_version(tx, row["id"], version)
    values, problems = bind(workflow.inputs, inputs, "/inputs")
    found: list[HostRef] = []
    try:
        if hosts or host_references.needs_hosts(workflow):
            found = await targets.resolve(tx, hosts)
        problems += host_references.unmet(workflow, frozenset(host.name for host in found))
    except Invalid as refused:
        problems += refused.problems
    scripts, libraries, missing = await _pins(tx, workflow)
    problems += missing
    if has_errors(problems):
        only = problems[0].message if len(problems) == 1 else f"{len(problems)} things are wrong."
        raise Invalid(f"Version {version} of {row['name']!r} can't be started so: {only}", problems)
    new = _New(
        workflow_id=row["id"],
        version=version,
        inputs=secret_values.masked(workflow.inputs, values),
        host_ids=[host.id for host in found],
        scripts=scripts,
        libraries=libraries,
        rerun_of=rerun_of,
    )
    instance_id = await _insert(tx, actor, row["name"], workflow, new)
    if secret := secret_values.given(workflow.inputs, values):
        await sealed_values.keep_of_instance(tx, db.keys, instance_id, secret)
    return instance_id


@dataclass(frozen=True)
class _New:
    """What a new instance pins."""

    workflow_id: int
    version: int
    inputs: dict[str, Value]
    host_ids: list[int]
    scripts: dict[str, int]
    libraries: dict[str, dict[str, int]]
    rerun_of: int | None


async def _insert(tx: Tx, actor: Actor, name: str, workflow: Workflow, new: _New) -> int:
    asker = Asker(actor.person, actor.name)
    for step in all_steps(workflow.steps):
        if isinstance(step, ApprovalStep):
            await approvals.electorate(tx, step, asker.people, f"step {step.id!r}")
    await checkouts_ahead.confirm(tx, all_steps(workflow.steps), new.scripts, asker)
    instance_id: int = await tx.fetchval(
        """INSERT INTO instances (workflow_id, workflow_version, inputs, host_ids, pinned_scripts,
               pinned_libraries, started_by, started_by_name, frontier, rerun_of)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id""",
        new.workflow_id,
        new.version,
        new.inputs,
        new.host_ids,
        new.scripts,
        new.libraries,
        actor.person,
        actor.name,
        [asdict(active) for active in routing.start(workflow).frontier],
        new.rerun_of,
    )
    detail = {"workflow": name, "version": new.version, "hosts": new.host_ids}
    again = {} if new.rerun_of is None else {"rerun_of": new.rerun_of}
    await audit.record(tx, actor, "instance.start", "instance", instance_id, **detail, **again)
    await notify(tx, channels.OUTBOX)
    await notify(tx, channels.EVENTS, f"instance:{instance_id}")
    return instance_id


async def _pins(
    tx: Tx, workflow: Workflow
) -> tuple[dict[str, int], dict[str, dict[str, int]], list[Problem]]:
    """The version each script has now, by id, and each library these link, by name: later saves do not
    touch this instance. And the scripts that are not there.

    A script may have changed since the workflow was proved: its parameters are bound again, with the
    instance's values, when its step runs.
    """
    wanted = {step.script: step.id for step in all_steps(workflow.steps) if isinstance(step, ScriptStep)}
    rows = await tx.fetch(
        """SELECT s.id, s.version, l.name AS library, l.id AS library_id, l.version AS library_version
           FROM scripts s JOIN script_versions v ON v.script_id = s.id AND v.version = s.version
           LEFT JOIN libraries l ON v.definition -> 'libraries' ? l.name WHERE s.id = ANY ($1)""",
        [ref for ref in wanted if isinstance(ref, int)],
    )
    pins = {row["id"]: row["version"] for row in rows}
    problems = [
        Problem(
            pointer="/steps",
            code="unknown-script",
            message=f"Step {step_id!r} runs a script that is not there: {ref!r}.",
            fix="Save the script, or publish the workflow again.",
        )
        for ref, step_id in wanted.items()
        if ref not in pins
    ]
    libraries = {
        row["library"]: {"id": row["library_id"], "version": row["library_version"]}
        for row in rows
        if row["library"] is not None
    }
    return {str(script_id): version for script_id, version in pins.items()}, libraries, problems
