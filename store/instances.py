"""Instances: start one, look at it, run it again. Cancelling is `store.instance_cancel`.

The engine's own moves (lease, frontier, results) are in `store.engine`, never here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from definitions import routing, secret_values
from definitions.errors import Conflict, Invalid
from definitions.parameters import Value, bound
from definitions.permissions import Actor, require
from definitions.problems import Problem
from definitions.steps import ApprovalStep, ScriptStep
from definitions.workflow import Workflow, all_steps
from store import (
    approvals,
    audit,
    channels,
    instance_views,
    pages,
    references,
    sealed_values,
    targets,
    workflows,
)
from store.connection import Database, Row, Tx
from store.instance_cancel import cancel
from store.instance_views import InstanceRow, InstanceView
from store.pages import Page
from store.wakes import notify

__all__ = ["cancel", "listing", "rerun", "show", "start"]


async def start(
    db: Database,
    actor: Actor,
    workflow_ref: int | str,
    hosts: Sequence[int | str],
    inputs: Mapping[str, object],
) -> InstanceView:
    """Start the published version of a workflow on some hosts.

    Refused when it could not reach its end: nobody may decide at a gate, or a script is gone.
    """
    require(actor, "workflows.manage")
    async with db.transaction() as tx:
        row = await workflows.find(tx, workflow_ref)
        workflow = await _published(tx, row)
        values = bound(workflow.inputs, inputs, "inputs", row["name"])
        found = await targets.resolve(tx, hosts)
        shown = secret_values.masked(workflow.inputs, values)
        secret = secret_values.given(workflow.inputs, values)
        instance_id = await _insert(tx, actor, row, workflow, shown, [host.id for host in found])
        if secret:
            await sealed_values.keep_of_instance(tx, db.keys, instance_id, secret)
    async with db.connection() as tx:
        return await instance_views.one(tx, actor, instance_id)


async def rerun(db: Database, actor: Actor, instance_id: int) -> InstanceView:
    """Start the newest version of the same workflow on the same hosts with the same inputs.

    Not one that was given secret inputs: they are erased when it ends.
    """
    require(actor, "workflows.manage")
    row = await db.fetchrow(
        """SELECT i.workflow_id, i.host_ids, i.inputs, coalesce(v.definition -> 'inputs', '[]') AS parameters
           FROM instances i JOIN workflow_versions v
             ON v.workflow_id = i.workflow_id AND v.version = i.workflow_version
           WHERE i.id = $1""",
        instance_id,
    )
    if row is None:
        raise references.missing("instance", instance_id)
    _check_nothing_erased(row)
    return await start(db, actor, row["workflow_id"], row["host_ids"], row["inputs"])


def _check_nothing_erased(row: Row) -> None:
    secret = [each["name"] for each in row["parameters"] if each.get("type") == "secret"]
    problems = [
        Problem(
            pointer=f"/inputs/{name}",
            code="secret-erased",
            message=f"`{name}` was a secret, which is not kept for running again.",
            fix="Start the workflow anew, and give it.",
        )
        for name in secret
        if row["inputs"].get(name) is not None
    ]
    if problems:
        raise Invalid(problems[0].message, problems)


async def show(db: Database, actor: Actor, instance_id: int) -> InstanceView:
    """Everything about one instance."""
    require(actor, "workflows.view")
    async with db.connection() as tx:
        return await instance_views.one(tx, actor, instance_id)


async def listing(
    db: Database,
    actor: Actor,
    *,
    status: Sequence[str] = (),
    workflow: int | str | None = None,
    limit: int = 50,
    after: str | None = None,
) -> Page[InstanceRow]:
    """Instances, the newest first."""
    require(actor, "workflows.view")
    workflow_id, name = (None, None) if workflow is None else references.split(workflow)
    async with db.connection() as tx:
        found = await instance_views.rows(
            tx,
            """WHERE i.id < $1 AND (cardinality($2::text[]) = 0 OR i.status = ANY ($2))
                 AND ($3::bigint IS NULL OR i.workflow_id = $3) AND ($4::text IS NULL OR w.name = $4)
               ORDER BY i.id DESC LIMIT $5""",
            pages.before(after),
            list(status),
            workflow_id,
            name,
            pages.bounded(limit) + 1,
        )
    return pages.cut(found, limit, lambda row: row.id)


async def _published(tx: Tx, row: Row) -> Workflow:
    if row["archived_at"] is not None:
        raise Conflict(f"The workflow {row['name']!r} is archived.")
    if row["published_version"] is None:
        raise Conflict(f"The workflow {row['name']!r} has no published version yet; publish it first.")
    return await workflows.load_version(tx, row["id"], row["published_version"])


async def _insert(
    tx: Tx, actor: Actor, row: Row, workflow: Workflow, inputs: dict[str, Value], host_ids: list[int]
) -> int:
    for step in all_steps(workflow.steps):
        if isinstance(step, ApprovalStep):
            await approvals.electorate(tx, step, actor.person)
    instance_id: int = await tx.fetchval(
        """INSERT INTO instances (workflow_id, workflow_version, inputs, host_ids, pinned_scripts,
               pinned_libraries, started_by, started_by_name, frontier)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id""",
        row["id"],
        row["published_version"],
        inputs,
        host_ids,
        *await _pins(tx, workflow),
        actor.person,
        actor.name,
        [asdict(active) for active in routing.start(workflow).frontier],
    )
    detail = {"workflow": row["name"], "version": row["published_version"], "hosts": host_ids}
    await audit.record(tx, actor, "instance.start", "instance", instance_id, **detail)
    await notify(tx, channels.OUTBOX)
    await notify(tx, channels.EVENTS, f"instance:{instance_id}")
    return instance_id


async def _pins(tx: Tx, workflow: Workflow) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    """The version each script has now, by id, and each library these link, by name; later saves do not
    touch this instance.

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
    if problems:
        raise Invalid(problems[0].message, problems)
    libraries = {
        row["library"]: {"id": row["library_id"], "version": row["library_version"]}
        for row in rows
        if row["library"] is not None
    }
    return {str(script_id): version for script_id, version in pins.items()}, libraries
