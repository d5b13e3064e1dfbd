"""`opsgate instance`: list, show, watch and cancel the runs of workflows, go on with one, run one again."""

import time
from typing import Annotated, Any

from cyclopts import App, Parameter

from deployments.cli import moments
from deployments.cli.connection import Connection
from deployments.cli.instance_detail import print_detail, print_steps
from deployments.cli.output import Json, Limit, cell, print_facts, print_json, print_rows
from deployments.cli.values import Secrets, collect

app = App(name="instance", help_format="plaintext")

ENDED = frozenset({"completed", "failed", "cancelled"})
_LONG = ("steps", "approvals", "inputs", "outputs", "resumes", "frontier")

Statuses = Annotated[list[str], Parameter(name="--status", negative="", help="A status; repeatable.")]
Again = Annotated[bool, Parameter(negative="", help="The version it ran, not the one published now.")]


@app.command(name="list")
def list_(
    *,
    status: Statuses = [],  # noqa: B006
    workflow: str | None = None,
    host: str | None = None,
    started_by: str | None = None,
    since: Annotated[str | None, Parameter(help="Started then or later: a moment, or 2h, 7d ago.")] = None,
    until: Annotated[str | None, Parameter(help="Started before then.")] = None,
    search: Annotated[
        str | None, Parameter(help="Text in the workflow's name, the inputs or the reason.")
    ] = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """List instances, the newest first; every filter given must fit."""
    columns = ("id", "workflow_name", "status", "hosts", "started_by_name", "created_at", "reason")
    found = Connection.find().items(
        "/instances",
        limit,
        status=status or None,
        workflow=workflow,
        host=host,
        started_by=started_by,
        since=None if since is None else moments.earlier(since, "--since").isoformat(),
        until=None if until is None else moments.earlier(until, "--until").isoformat(),
        search=search,
    )
    print_rows(found, columns, as_json=json)


@app.command
def show(instance: int, *, json: Json = False) -> None:
    """Show an instance: what each step was sent, what came of it on each host, and why it went on so."""
    found = Connection.find().get(f"/instances/{instance}")
    print_facts(found, as_json=json, leave_out=_LONG)
    if not json:
        print_detail(found)


@app.command
def watch(instance: int, *, json: Json = False) -> int:
    """Follow an instance until it ends; exit code 0 only if it completed."""
    return follow(Connection.find(), instance, as_json=json)


@app.command
def cancel(instance: int, *, reason: str = "", json: Json = False) -> None:
    """Cancel an instance, its jobs and its open approval requests."""
    found = Connection.find().post(f"/instances/{instance}/cancel", {"reason": reason})
    if json:
        print_json(found)
    else:
        ended = found and found["status"] in ENDED
        print(f"Instance {instance} is {found['status'] if ended else 'being cancelled'}.")


@app.command
def resume(
    instance: int,
    *,
    secret: Secrets = [],  # noqa: B006
    watch: bool = False,
    json: Json = False,
) -> int:
    """Go on with one that failed or was cancelled, at what failed; all that went well before is kept.

    Secret inputs are not kept: give each again by --secret.
    """
    connection = Connection.find()
    body = {"inputs": collect((), secret, "--input")}
    found: dict[str, Any] = connection.post(f"/instances/{instance}/resume", body)
    if watch:
        return follow(connection, instance, as_json=json)
    if json:
        print_json(found)
    else:
        print(
            cell(f"Instance {instance} goes on at {', '.join(found['resumes'][-1]['steps']) or 'its join'}.")
        )
    return 0


@app.command
def rerun(
    instance: int,
    *,
    secret: Secrets = [],  # noqa: B006
    same_version: Again = False,
    watch: bool = False,
    json: Json = False,
) -> int:
    """Start the same workflow on the same hosts with the same inputs, as a new instance.

    Secret inputs are not kept: give each again by --secret.
    """
    connection = Connection.find()
    body = {"inputs": collect((), secret, "--input"), "same_version": same_version}
    found: dict[str, Any] = connection.post(f"/instances/{instance}/rerun", body)
    if watch:
        return follow(connection, found["id"], as_json=json)
    if json:
        print_json(found)
    else:
        version = f"version {found['workflow_version']}"
        print(cell(f"Started instance {found['id']} of {found['workflow_name']}, {version}."))
        print(f"  {connection.url}/instances/{found['id']}")
    return 0


def follow(connection: Connection, instance_id: int, *, as_json: bool) -> int:
    """Print each change of an instance's steps until it has ended."""
    seen: dict[tuple[str, int], str] = {}
    waits_for: str | None = None
    while True:
        found: dict[str, Any] = connection.get(f"/instances/{instance_id}")
        if not as_json:
            for line in changes(found, seen):
                print(line, flush=True)
            if found["status"] == "paused" and found["waits_for"] not in (None, waits_for):
                waits_for = found["waits_for"]
                print(f"  {cell(waits_for)}", flush=True)
        if found["status"] in ENDED:
            break
        time.sleep(0.5)
    if as_json:
        print_json(found)
    else:
        print_steps(found)
        for name, value in (found.get("outputs") or {}).items():
            print(f"{cell(name)} = {cell(value)}")
        print(f"Instance {instance_id} is {found['status']}. {cell(found.get('reason'))}".rstrip())
    return 0 if found["status"] == "completed" else 1


def changes(instance: dict[str, Any], seen: dict[tuple[str, int], str]) -> list[str]:
    """A line for every step whose status is another than last time; `seen` is brought along."""
    lines = []
    for step in instance["steps"]:
        key = (step["step_id"], step["visit"])
        if seen.get(key) != step["status"]:
            seen[key] = step["status"]
            reason = f"  {cell(step['reason'])}" if step.get("reason") else ""
            lines.append(f"  {step['step_id']:<24} {step['status']:<10}{reason}")
    return lines
