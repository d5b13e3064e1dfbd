"""`opsgate instance`: list, show, watch and cancel the runs of workflows."""

import time
from typing import Any

from cyclopts import App

from deployments.cli.connection import Connection
from deployments.cli.output import Json, Limit, cell, print_facts, print_json, print_rows, print_table

app = App(name="instance", help_format="plaintext")

ENDED = frozenset({"completed", "failed", "cancelled"})
_LONG = ("steps", "approvals", "inputs", "frontier")


@app.command(name="list")
def list_(
    *, status: str | None = None, workflow: str | None = None, limit: Limit = 50, json: Json = False
) -> None:
    """List instances, the newest first."""
    columns = ("id", "workflow_name", "status", "hosts", "started_by_name", "created_at", "reason")
    found = Connection.find().items("/instances", limit, status=status, workflow=workflow)
    print_rows(found, columns, as_json=json)


@app.command
def show(instance: int, *, json: Json = False) -> None:
    """Show an instance and what each of its steps did."""
    found = Connection.find().get(f"/instances/{instance}")
    print_facts(found, as_json=json, leave_out=_LONG)
    if not json:
        print_steps(found)


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


def print_steps(instance: dict[str, Any]) -> None:
    """The table of an instance's steps with their results."""
    titles = ("step", "kind", "status", "result", "next", "why")
    rows = [
        (s["step_id"], s["kind"], s["status"], _result(s), s.get("routed_to"), _why(s))
        for s in instance["steps"]
    ]
    print_table(titles, rows)


def _why(step: dict[str, Any]) -> str:
    """Why a step did not go well; of the others the result says enough."""
    return "" if step["status"] == "completed" else str(step.get("reason") or "")


def _result(step: dict[str, Any]) -> str:
    """What came out, in a few words: per job the host, exit code and the output's beginning."""
    never = step.get("not_started") or []
    if not step.get("jobs") and not never:
        return str(step.get("outcome") or "")
    lines = []
    for job in step["jobs"]:
        attempt = f" attempt {job['attempt']}" if job.get("attempt", 1) > 1 else ""
        exit_code = "" if job.get("exit_code") is None else f" exit {job['exit_code']}"
        output = " ".join(str(job.get("waits") or job.get("stdout") or "").split())
        lines.append(f"{job['host']}{attempt}{exit_code}: {output[:200]}")
    lines += [f"{host['name']}: not started" for host in never]
    return "\n".join(lines)
