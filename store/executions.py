"""Executions: a script run by hand on hosts, one job each, and run again where it failed.

What is shown of them is `store.execution_views`. Steps of workflows make their jobs in `tasks.script`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from agent.payloads import ScriptPayload
from definitions import job_types, secret_values
from definitions.dispatch import script_payload
from definitions.errors import Conflict
from definitions.lifecycles.job import RETRYABLE
from definitions.parameters import Value, bound
from definitions.permissions import Actor, require
from definitions.secret_values import SecretValues
from store import askers, audit, job_checkouts, jobs, libraries, references, scripts, sealed_values, targets
from store.askers import Asker
from store.connection import Database, Row, Tx
from store.job_checkouts import ScriptRun
from store.jobs import NewJob
from store.sealing import SealingKeys


class Made(NamedTuple):
    """A new execution and its jobs, in the order of its hosts."""

    id: int
    jobs: list[int]
    checkout: int | None = None
    """By which they run, if as an identity."""


async def execute(
    db: Database,
    actor: Actor,
    ref: int | str,
    hosts: Sequence[int | str],
    parameters: Mapping[str, object],
    reason: str = "",
) -> Made:
    """Run a script's newest version with its libraries' newest, one job a host; of one that runs as an
    identity `reason` says what for."""
    async with db.transaction() as tx:
        return await execute_in(tx, db.keys, actor, ref, hosts, parameters, reason=reason)


async def execute_in(
    tx: Tx,
    keys: SealingKeys | None,
    actor: Actor,
    ref: int | str,
    hosts: Sequence[int | str],
    parameters: Mapping[str, object],
    priority: int = job_types.PRIORITY["script"],
    reason: str = "",
) -> Made:
    """`execute` in the caller's transaction: for the ticks of recurring jobs too."""
    require(actor, "scripts.manage")
    row = await runnable(tx, ref)
    script = await scripts.load_version(tx, row["id"], row["version"])
    values = bound(script.parameters, parameters, "parameters", script.name)
    linked = await libraries.linked(tx, script)
    payload = script_payload(script, values, libraries=[each.library for each in linked])
    ran = libraries.record(linked)
    found = await targets.resolve(tx, hosts)
    shown = secret_values.masked(script.parameters, values)
    secrets = secret_values.by_variable(script.parameters, values)
    run = ScriptRun(row["id"], row["version"], script, ran, shown, [host.name for host in found])
    checkout = await _checkout(tx, Asker(actor.person, actor.name), run, reason)
    new = [
        _job(row, row["version"], host.id, payload, ran, secrets, checkout)._replace(priority=priority)
        for host in found
    ]
    return await _make(tx, keys, actor, row, row["version"], shown, new, None)


async def rerun(
    db: Database, actor: Actor, execution_id: int, *, failed_only: bool = True, reason: str = ""
) -> Made:
    """Run the very same again (version, libraries, parameters) as a new execution: on the hosts whose jobs
    failed or timed out, or on all. Hosts that are gone since are left out. One that runs as an identity does
    so by a new checkout."""
    require(actor, "scripts.manage")
    async with db.transaction() as tx:
        before = await tx.fetchrow(
            "SELECT script_id, script_version, parameters FROM executions WHERE id = $1", execution_id
        )
        if before is None:
            raise references.missing("execution", execution_id)
        row = await runnable(tx, before["script_id"])
        found = await tx.fetch(
            """SELECT j.id, j.host_id, h.name AS host, j.payload, j.libraries, j.sealed_values FROM jobs j
               JOIN hosts h ON h.id = j.host_id AND h.decommissioned_at IS NULL
               WHERE j.execution_id = $1 AND (NOT $2 OR j.status = ANY ($3)) ORDER BY j.id""",
            execution_id,
            failed_only,
            sorted(RETRYABLE),
        )
        if not found:
            which = "failed or timed out on a host that is still there" if failed_only else "is still there"
            raise Conflict(f"No job of execution {execution_id} {which}.")
        if any(sealed_values.are_erased(job) for job in found):
            raise Conflict(
                f"The secret parameters of execution {execution_id} are erased: run it anew with them."
            )
        version = before["script_version"]
        script = await scripts.load_version(tx, row["id"], version)
        hosts = [job["host"] for job in found]
        run = ScriptRun(row["id"], version, script, found[0]["libraries"], before["parameters"], hosts)
        reason = reason or f"Execution {execution_id}, {script.name} again."
        asker = (await askers.of_execution(tx, execution_id)).then(actor.person, actor.name, "repeated")
        checkout = await _checkout(tx, asker, run, reason)
        new = [
            _job(
                row,
                version,
                job["host_id"],
                ScriptPayload(**job["payload"]),
                job["libraries"],
                _opened(db, job),
                checkout,
            )
            for job in found
        ]
        return await _make(tx, db.keys, actor, row, version, before["parameters"], new, execution_id)


def _opened(db: Database, job: Row) -> SecretValues:
    """The secret values of a job that could be retried, to be sealed for the new one."""
    if job["sealed_values"] is None:
        return SecretValues()
    return SecretValues(sealed_values.of_job(db.keys, job["id"], job["sealed_values"]))


async def _checkout(tx: Tx, asker: Asker, run: ScriptRun, reason: str) -> int | None:
    """The checkout by which the jobs run, if it is as an identity."""
    if run.script.run_as is None:
        return None
    return await job_checkouts.check_out(tx, asker, run, run.script.run_as, reason)


async def runnable(tx: Tx, ref: int | str) -> Row:
    """The row of a script that is there and not archived."""
    row = await scripts.find(tx, ref)
    if row["archived_at"] is not None:
        raise Conflict(f"The script {row['name']!r} is archived.")
    return row


def _job(
    script: Row,
    version: int,
    host_id: int,
    payload: ScriptPayload,
    ran: Sequence[Mapping[str, Any]],
    secrets: SecretValues,
    checkout: int | None,
) -> NewJob:
    return NewJob(
        type="script",
        host_id=host_id,
        payload=payload,
        priority=job_types.PRIORITY["script"],
        script_id=script["id"],
        script_version=version,
        libraries=ran,
        secrets=secrets,
        checkout_id=checkout,
    )


async def _make(
    tx: Tx,
    keys: SealingKeys | None,
    actor: Actor,
    script: Row,
    version: int,
    parameters: Mapping[str, Value],
    new: Sequence[NewJob],
    rerun_of: int | None,
) -> Made:
    """The execution's row, its jobs, and who did it."""
    execution_id = await tx.fetchval(
        """INSERT INTO executions (script_id, script_version, parameters, rerun_of, created_by,
                                   created_by_name)
           VALUES ($1, $2, $3, $4, $5, $6) RETURNING id""",
        script["id"],
        version,
        dict(parameters),
        rerun_of,
        actor.person,
        actor.name,
    )
    known = [job._replace(execution_id=execution_id) for job in new]
    made = await jobs.insert(tx, actor.name, actor.person, known, keys=keys)
    detail: dict[str, Any] = {"name": script["name"], "version": version}
    detail |= {"execution": execution_id, "jobs": made}
    if rerun_of is not None:
        detail["rerun_of"] = rerun_of
    checkout = new[0].checkout_id
    if checkout is not None:
        detail["checkout"] = checkout
    await audit.record(tx, actor, "script.execute", "script", script["id"], **detail)
    return Made(execution_id, made, checkout)
