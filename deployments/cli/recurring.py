"""`opsgate recurring`: look at recurring jobs, switch them, run one by hand; `opsgate apply` saves them."""

from typing import Annotated, Any

from cyclopts import App, Parameter

from definitions.harmless import visible
from deployments.cli.connection import Connection, segment
from deployments.cli.output import Json, Limit, cell, print_facts, print_json, print_rows

app = App(name="recurring", help_format="plaintext")

Name = Annotated[str, Parameter(name="NAME", help="Its name or id.")]

_COLUMNS = ("id", "name", "cron", "timezone", "enabled", "next_run_at", "recurrences", "stopped")
_TICKS = ("id", "at", "kind", "outcome", "reason", "jobs", "instances")
_JOBS = ("id", "tick_id", "type", "host", "status", "exit_code", "created_at", "reason")
_INSTANCES = ("id", "tick_id", "workflow_name", "status", "created_at", "ended_at", "reason")


@app.command(name="list")
def list_(*, archived: bool = False, limit: Limit = 100, json: Json = False) -> None:
    """List them, the newest first; with --archived those that are hidden."""
    found = Connection.find().items("/recurring-jobs", limit, archived=archived)
    print_rows(found, _COLUMNS, as_json=json)


@app.command
def show(name: Name, /, *, json: Json = False) -> None:
    """Show one: when it fires, in words, its next runs, what it has done, why it stopped."""
    found = Connection.find().get(_path(name))
    print_facts(found, as_json=json, leave_out=("definition", "next_runs", "last_tick"))
    if json:
        return
    for field, value in found["definition"].items():
        if field in ("job", "workflow"):
            print(f"  {field}: {cell(value)}")
    last = found["last_tick"]
    if last is not None:
        print(visible(f"  last tick: {last['at']} {last['outcome']}: {last['reason']}"))
    _print_runs(found["next_runs"])


@app.command
def preview(name: Name, /, *, count: int = 5, json: Json = False) -> None:
    """Say when it fires next, in its time zone."""
    found = Connection.find().get(f"{_path(name)}/preview", count=count)
    if json:
        print_json(found)
        return
    print(visible(f"{found['in_words']} ({found['timezone']})"))
    _print_runs(found["runs"])


@app.command
def enable(name: Name, /, *, json: Json = False) -> None:
    """Have it fire from its next tick on."""
    _switch(name, "enable", as_json=json)


@app.command
def disable(name: Name, /, *, json: Json = False) -> None:
    """Have it fire no more, until it is enabled."""
    _switch(name, "disable", as_json=json)


@app.command
def run(name: Name, /, *, json: Json = False) -> int:
    """Fire a tick by hand, now; it counts against no limit. Fails when the tick is left out."""
    tick = Connection.find().post(f"{_path(name)}/run", None)
    if json:
        print_json(tick)
    else:
        made = [f"job {job}" for job in tick["jobs"]] + [f"instance {each}" for each in tick["instances"]]
        print(visible(f"{tick['outcome']}: {tick['reason']} {', '.join(made)}".rstrip()))
    return 0 if tick["outcome"] == "ran" else 1


@app.command
def ticks(name: Name, /, *, limit: Limit = 50, json: Json = False) -> None:
    """List its ticks with their outcomes, the last answered first."""
    print_rows(Connection.find().items(f"{_path(name)}/ticks", limit), _TICKS, as_json=json)


@app.command
def children(name: Name, /, *, limit: Limit = 50, json: Json = False) -> None:
    """List the jobs or instances that its ticks made, the newest first."""
    found = list(Connection.find().items(f"{_path(name)}/children", limit))
    columns = _INSTANCES if found and "workflow_name" in found[0] else _JOBS
    print_rows(found, columns, as_json=json)


@app.command
def archive(name: Name, /, *, json: Json = False) -> None:
    """Hide it; it fires no more. Saving it again brings it back."""
    Connection.find().delete(_path(name))
    if json:
        print_json({"archived": name})
    else:
        print(f"{name} is archived.")


def _path(name: str) -> str:
    return f"/recurring-jobs/{segment(name)}"


def _switch(name: str, verb: str, *, as_json: bool) -> None:
    found: dict[str, Any] = Connection.find().post(f"{_path(name)}/{verb}", None)
    if as_json:
        print_json(found)
        return
    if not found["enabled"]:
        print(visible(f"{found['name']} is disabled."))
    else:
        print(visible(f"{found['name']} is enabled; {_next(found)}"))


def _next(found: dict[str, Any]) -> str:
    if found["stopped"] is not None:
        return f"it fires no more: {found['stopped']}"
    return f"next run {found['next_run_at']}."


def _print_runs(runs: list[str]) -> None:
    print("Next runs:" if runs else "No further runs.")
    for run in runs:
        print(f"  {run}")
