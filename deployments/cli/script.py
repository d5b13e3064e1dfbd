"""`opsgate script`: look at scripts, run one on hosts, see what came of it, run it again where it failed."""

import sys
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from deployments.cli.connection import Connection, segment
from deployments.cli.errors import WrongUse
from deployments.cli.output import Hosts, Json, Limit, pairs, print_json, print_rows, printable
from deployments.cli.versioned import add_verbs

app = App(name="script", help_format="plaintext")

add_verbs(app, "/scripts")

Params = Annotated[
    list[str], Parameter(name="--param", negative="", help="A parameter, name=value; repeatable.")
]
Moment = Annotated[str | None, Parameter(help="A moment, ISO 8601; without a zone, this machine's.")]
Execution = Annotated[int, Parameter(name="EXECUTION", help="The number of an execution.")]

_COLUMNS = (
    "id",
    "execution_id",
    "host",
    "status",
    "exit_code",
    "duration",
    "created_at",
    "created_by",
    "reason",
)


@app.command
def run(script: str, *, host: Hosts, param: Params = [], wait: bool = True, json: Json = False) -> int:  # noqa: B006
    """Run a script on hosts, one job each, and wait for the results (--no-wait: don't)."""
    connection = Connection.find()
    body = {"hosts": host, "parameters": pairs(param, "--param")}
    made = connection.post(f"/scripts/{segment(script)}/execute", body)
    return _follow(connection, made, wait=wait, as_json=json)


@app.command
def rerun(
    execution: Execution,
    /,
    *,
    failed: Annotated[bool, Parameter(negative="", help="Only where it failed or timed out.")] = False,
    wait: bool = True,
    json: Json = False,
) -> int:
    """Run the very same again, version and parameters, on the hosts of an execution."""
    connection = Connection.find()
    made = connection.post(f"/executions/{execution}/rerun", {"failed_only": failed})
    return _follow(connection, made, wait=wait, as_json=json)


@app.command
def executions(
    script: str,
    *,
    status: str | None = None,
    host: str | None = None,
    since: Moment = None,
    until: Moment = None,
    who: Annotated[str | None, Parameter(help="Who ran it.")] = None,
    execution: int | None = None,
    search: Annotated[str | None, Parameter(help="Exact text in what it printed.")] = None,
    output: Annotated[bool, Parameter(negative="", help="Print the end of each output too.")] = False,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """List what a script did on each host, the newest first."""
    asked = {"status": status, "host": host, "who": who, "execution": execution, "search": search}
    moments = {"since": _moment(since, "--since"), "until": _moment(until, "--until")}
    path = f"/scripts/{segment(script)}/executions"
    found = list(Connection.find().items(path, limit, **asked, **moments))
    print_rows(found, _COLUMNS, as_json=json)
    if output and not json:
        for row in found:
            for stream in ("stdout", "stderr"):
                if row[stream]:
                    print(f"\njob {row['id']} on {row['host']}, {stream}:\n{printable(row[stream])}")


@app.command
def download(execution: Execution, /, *, to: Path | None = None) -> None:
    """Write every host's result and output as JSON lines, to a file or to stdout."""
    parts = Connection.find().download(f"/executions/{execution}/download")
    first = next(parts, b"")  # a refusal comes here, before there is a file
    try:
        with nullcontext(sys.stdout.buffer) if to is None else to.open("xb") as file:
            file.write(first)
            file.writelines(parts)
            file.flush()
    except OSError as error:
        if to is None:
            raise
        raise WrongUse(f"{to} can't be written: {error.strerror}") from error


def _follow(connection: Connection, made: dict[str, Any], *, wait: bool, as_json: bool) -> int:
    from deployments.cli.job import wait_for

    jobs: list[int] = made["jobs"]
    if wait:
        code = wait_for(connection, jobs, as_json=as_json)
        if code and not as_json:
            again = f"opsgate script rerun {made['execution']} --failed"
            print(f"Run it again where it failed: {again}", file=sys.stderr)
        return code
    if as_json:
        print_json(made)
    else:
        print(f"Dispatched: {', '.join(f'job {job}' for job in jobs)} (execution {made['execution']}).")
    return 0


def _moment(text: str | None, option: str) -> str | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except ValueError as error:
        raise WrongUse(f"{option} {text!r} is no moment like 2026-01-31T08:00.") from error
