"""`opsgate job`: dispatch work to hosts, follow its output, cancel, retry, delete."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from definitions.harmless import terminal_text, visible
from definitions.lifecycles.job import ENDED
from deployments.cli import logs as logs_
from deployments.cli import moments
from deployments.cli.connection import Connection
from deployments.cli.errors import WrongUse
from deployments.cli.output import Hosts, Json, Limit, cell, print_facts, print_json, print_rows
from deployments.cli.values import Secrets, collect

app = App(name="job", help_format="plaintext")

Statuses = Annotated[list[str], Parameter(name="--status", negative="", help="A status; repeatable.")]
Priority = Literal["critical", "high", "normal", "low"]


@app.command
def run(
    type: str,
    command: str | None = None,
    *,
    host: Hosts,
    set: Annotated[
        list[str] | None,
        Parameter(negative="", help="A field of the payload as name=value; repeatable. Lists by commas."),
    ] = None,
    payload: Annotated[str | None, Parameter(help="The whole payload as JSON, or @FILE.")] = None,
    secret: Secrets = [],  # noqa: B006
    priority: Priority | None = None,
    at: Annotated[
        str | None, Parameter(help="Not before then: 2027-01-31T08:00+01:00, '... Europe/Berlin', or 90m.")
    ] = None,
    wait: bool = True,
    json: Json = False,
) -> int:
    """Run a job on hosts: `opsgate job run command 'uptime' --host web-1`.

    `opsgate job types` lists the types and their fields, for example
    `opsgate job run service_control --set action=restart --set service=cron --host web-1`.
    A password reset takes the new password by `--secret password`, and makes one up without.
    What the types other than script and command do on Windows is a preview.
    """
    connection = Connection.find()
    body: dict[str, Any] = {
        "type": type,
        "hosts": host,
        "payload": _payload(type, command, set or (), payload),
    }
    if secret:
        body["secrets"] = collect((), secret, "--set")
    if priority is not None:
        body["priority"] = priority
    due = None if at is None else moments.later(at, "--at")
    if due is not None:
        body["scheduled_at"] = due.isoformat()
    jobs: list[int] = connection.post("/jobs", body)["jobs"]
    if wait and due is None:
        return wait_for(connection, jobs, as_json=json)
    if json:
        print_json({"jobs": jobs})
    else:
        when = "" if due is None else f" for {due:%Y-%m-%d %H:%M:%S} UTC"
        print(f"Dispatched{when}: {', '.join(f'job {job}' for job in jobs)}.")
    return 0


@app.command
def types(*, json: Json = False) -> None:
    """List the job types, their priorities, and what `--set` takes. Outside Linux a preview."""
    from definitions.job_types import PAYLOADS, PRIORITY, PRIORITY_NAMES, fields_of

    rows = []
    for name in PAYLOADS:
        fields = fields_of(name)
        shown = fields if json else "\n".join(f"{field}: {kind}" for field, kind in fields.items())
        rows.append({"type": name, "priority": PRIORITY_NAMES[PRIORITY[name]], "fields": shown})
    print_rows(rows, ("type", "priority", "fields"), as_json=json)


@app.command(name="list")
def list_(
    *,
    status: Statuses = [],  # noqa: B006
    host: str | None = None,
    type: str | None = None,
    script: str | None = None,
    instance: int | None = None,
    created_by: str | None = None,
    since: Annotated[str | None, Parameter(help="Made then or later: a moment, or 2h, 7d ago.")] = None,
    until: Annotated[str | None, Parameter(help="Made before then.")] = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """List jobs, the newest first; every filter given must fit."""
    columns = (
        "id",
        "type",
        "status",
        "host",
        "retry_count",
        "exit_code",
        "created_at",
        "created_by",
        "reason",
    )
    found = Connection.find().items(
        "/jobs",
        limit,
        status=status or None,
        host=host,
        type=type,
        script=script,
        instance=instance,
        created_by=created_by,
        since=None if since is None else moments.earlier(since, "--since").isoformat(),
        until=None if until is None else moments.earlier(until, "--until").isoformat(),
    )
    rows = ({**job, "reason": job["reason"] or job["waits"]} for job in found) if not json else found
    print_rows(rows, columns, as_json=json)


@app.command
def show(job: int, *, json: Json = False) -> None:
    """Show a job, and the end of what it printed."""
    found = Connection.find().get(f"/jobs/{job}")
    print_facts(found, as_json=json, leave_out=("payload", "attempts", *logs_.STREAMS))
    if json:
        return
    for attempt in found["attempts"][: found["retry_count"]]:
        print(f"attempt {attempt['attempt']}: {attempt['status']} {cell(attempt['reason'])}".rstrip())
    for stream in logs_.STREAMS:
        if found[stream]:
            print(f"\n{stream}:\n{terminal_text(found[stream])}".rstrip("\n"))


@app.command
def logs(
    job: int,
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="")] = False,
    stream: Literal["stdout", "stderr"] | None = None,
    raw: Annotated[
        bool, Parameter(negative="", help="The very bytes, control characters and all: for a pipe.")
    ] = False,
    json: Json = False,
) -> None:
    """Print a job's output; with -f, as it comes, until the job ends."""
    connection = Connection.find()
    streams: Sequence[str] = (stream,) if stream else logs_.STREAMS
    if json and follow:
        pieces: list[dict[str, Any]] = []
        logs_.live(connection, job, stream, pieces.append)
        print_json(pieces)
    elif json:
        found = {name: logs_.chunks(connection, job, name) for name in streams}
        print_json([{"stream": name, **chunk} for name in streams for chunk in found[name]])
    elif follow:
        screen = logs_.Screen(raw=raw)
        ended = logs_.live(connection, job, stream, screen.write)
        screen.finish()
        logs_.note_truncated(ended, streams)
    else:
        logs_.whole(connection, job, streams, raw=raw)
        logs_.note_truncated(connection.get(f"/jobs/{job}"), streams)


@app.command
def cancel(job: int, *, json: Json = False) -> None:
    """Cancel a job that has not ended."""
    _act(job, "cancel", json)


@app.command
def retry(job: int, *, json: Json = False) -> None:
    """Queue a failed job again, as its next attempt."""
    _act(job, "retry", json)


@app.command
def delete(job: int, *, json: Json = False) -> None:
    """Delete the record of a job that has ended."""
    Connection.find().delete(f"/jobs/{job}")
    if json:
        print_json({"deleted": job})
    else:
        print(f"Job {job} is deleted.")


def wait_for(connection: Connection, jobs: Sequence[int], *, as_json: bool) -> int:
    """Wait until every job has ended and print what came out; 0 only if all completed."""
    found: list[dict[str, Any]] = []
    for job in jobs:
        shown = connection.get(f"/jobs/{job}")
        while shown["status"] not in ENDED:
            time.sleep(0.3)
            shown = connection.get(f"/jobs/{job}")
        found.append(shown)
        if not as_json:
            exit_code = "" if shown.get("exit_code") is None else f"exit code {shown['exit_code']}"
            why = shown.get("reason") or exit_code
            print(f"job {job} on {shown['host']}: {shown['status']}{why and f', {visible(why)}'}")
            logs_.whole(connection, job, logs_.STREAMS)
            logs_.note_truncated(shown)
    if as_json:
        print_json(found)
    return 0 if all(shown["status"] == "completed" for shown in found) else 1


def _act(job: int, verb: str, as_json: bool) -> None:
    found = Connection.find().post(f"/jobs/{job}/{verb}")
    if as_json:
        print_json(found)
    else:
        asked = verb == "cancel" and found["status"] not in ENDED
        print(f"Job {job} is {found['status']}{'; its host is told to stop it' if asked else ''}.")


def _payload(type_: str, command: str | None, fields: Sequence[str], payload: str | None) -> object:
    import json as codec

    from definitions.job_types import from_words

    if payload is None:
        given = {"command": command} if command is not None else {}
        if not given and not fields:
            raise WrongUse(
                f"A {type_} job needs --set (`opsgate job types` says what) or --payload; "
                "a command job its command."
            )
        return from_words(type_, collect(fields, (), "--set")) | given
    if command is not None or fields:
        raise WrongUse("Give --payload, or the command and --set, not both.")
    try:
        return codec.loads(
            Path(payload[1:]).read_text(encoding="utf-8") if payload.startswith("@") else payload
        )
    except (OSError, ValueError) as error:
        raise WrongUse(f"--payload can't be read: {error}") from error
