"""`opsgate script`: look at scripts, run one on hosts, see what came of it, run it again where it failed."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from definitions.harmless import terminal_text
from deployments.cli import moments
from deployments.cli.connection import Connection, segment
from deployments.cli.errors import WrongUse
from deployments.cli.output import Hosts, Json, Limit, print_json, print_rows
from deployments.cli.values import FORM, Secrets, collect, refuse_open
from deployments.cli.versioned import add_verbs

app = App(name="script", help_format="plaintext")

add_verbs(app, "/scripts")

Params = Annotated[list[str], Parameter(name="--param", negative="", help=f"A parameter, {FORM}")]
Reason = Annotated[str, Parameter(help="Of one that runs as an identity: what for.")]
Moment = Annotated[str | None, Parameter(help="A moment, or 2h, 7d ago.")]
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
def run(
    script: str,
    *,
    host: Hosts,
    param: Params = [],  # noqa: B006
    secret: Secrets = [],  # noqa: B006
    reason: Reason = "",
    wait: bool = True,
    json: Json = False,
) -> int:
    """Run a script on hosts, one job each, and wait for the results (--no-wait: don't)."""
    connection = Connection.find()
    body = {"hosts": host, "parameters": collect(param, secret, "--param"), "reason": reason}
    path = f"/scripts/{segment(script)}"
    refuse_open(param, lambda: connection.get(path)["definition"]["parameters"], "--param")
    made = connection.post(f"{path}/execute", body)
    return _follow(connection, made, wait=wait, as_json=json)


@app.command
def rerun(
    execution: Execution,
    /,
    *,
    failed: Annotated[bool, Parameter(negative="", help="Only where it failed or timed out.")] = False,
    reason: Reason = "",
    wait: bool = True,
    json: Json = False,
) -> int:
    """Run the very same again, version and parameters, on the hosts of an execution."""
    connection = Connection.find()
    made = connection.post(f"/executions/{execution}/rerun", {"failed_only": failed, "reason": reason})
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
    between = {"--since": since, "--until": until}
    for option, text in between.items():
        asked[option.removeprefix("--")] = None if text is None else moments.earlier(text, option).isoformat()
    path = f"/scripts/{segment(script)}/executions"
    found = list(Connection.find().items(path, limit, **asked))
    print_rows(found, _COLUMNS, as_json=json)
    if output and not json:
        for row in found:
            for stream in ("stdout", "stderr"):
                if row[stream]:
                    print(f"\njob {row['id']} on {row['host']}, {stream}:\n{terminal_text(row[stream])}")


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
    if made["checkout"] is not None and not as_json:
        first = connection.get(f"/jobs/{jobs[0]}")
        said = f"Runs as {first['run_as']}, by checkout {made['checkout']}. {first['waits'] or ''}"
        print(terminal_text(said.strip()), file=sys.stderr)
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
