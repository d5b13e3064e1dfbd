"""`opsgate job`: dispatch work to hosts, follow its output, cancel, retry, delete."""

import base64
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from deployments.cli.connection import Connection
from deployments.cli.errors import WrongUse
from deployments.cli.output import Hosts, Json, Limit, print_facts, print_json, print_rows
from deployments.cli.values import collect

app = App(name="job", help_format="plaintext")

ENDED = frozenset({"completed", "failed", "timeout", "cancelled"})
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
    priority: Priority | None = None,
    at: Annotated[str | None, Parameter(help="Not before this moment, ISO 8601.")] = None,
    wait: bool = True,
    json: Json = False,
) -> int:
    """Run a job on hosts: `opsgate job run command 'uptime' --host web-1`.

    `opsgate job types` lists the types and their fields, for example
    `opsgate job run service_control --set action=restart --set service=cron --host web-1`.
    What the types other than script and command do on Windows is a preview.
    """
    connection = Connection.find()
    body: dict[str, Any] = {
        "type": type,
        "hosts": host,
        "payload": _payload(type, command, set or (), payload),
    }
    body |= {
        name: value for name, value in (("priority", priority), ("scheduled_at", at)) if value is not None
    }
    jobs: list[int] = connection.post("/jobs", body)["jobs"]
    if wait and at is None:
        return wait_for(connection, jobs, as_json=json)
    if json:
        print_json({"jobs": jobs})
    else:
        print(f"Dispatched: {', '.join(f'job {job}' for job in jobs)}.")
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
    *, status: str | None = None, host: str | None = None, limit: Limit = 50, json: Json = False
) -> None:
    """List jobs, the newest first."""
    columns = (
        "id",
        "type",
        "status",
        "host",
        "attempt",
        "exit_code",
        "created_at",
        "created_by",
        "reason",
    )
    print_rows(Connection.find().items("/jobs", limit, status=status, host=host), columns, as_json=json)


@app.command
def show(job: int, *, json: Json = False) -> None:
    """Show a job."""
    print_facts(Connection.find().get(f"/jobs/{job}"), as_json=json, leave_out=("payload",))


@app.command
def logs(
    job: int,
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="")] = False,
    stream: Literal["stdout", "stderr"] | None = None,
    json: Json = False,
) -> None:
    """Print a job's output; with -f, as it comes, until the job ends."""
    connection = Connection.find()
    streams: Sequence[str] = (stream,) if stream else ("stdout", "stderr")
    after = dict.fromkeys(streams, -1)
    pieces: list[dict[str, Any]] = []
    while True:
        ended = not follow or connection.get(f"/jobs/{job}")["status"] in ENDED
        for name in streams:
            pieces += _new_output(connection, job, name, after, show_now=not json)
        if ended:
            break
        time.sleep(0.5)
    if json:
        print_json(pieces)


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
            print(f"job {job} on {shown['host']}: {shown['status']}{why and f', {why}'}")
            for name in ("stdout", "stderr"):
                _new_output(connection, job, name, {name: -1}, show_now=True)
    if as_json:
        print_json(found)
    return 0 if all(shown["status"] == "completed" for shown in found) else 1


def _new_output(
    connection: Connection, job: int, stream: str, after: dict[str, int], *, show_now: bool
) -> list[dict[str, Any]]:
    """The chunks of a stream not seen yet, written as they are; `after` is brought along."""
    found = []
    while True:
        page = connection.get(f"/jobs/{job}/output", stream=stream, after=after[stream])
        for chunk in page["items"]:
            found.append({"stream": stream, **chunk})
            if show_now:
                _write(stream, chunk)
        after[stream] = page["next"]
        if page["done"] or not page["items"]:
            return found


def _write(stream: str, chunk: dict[str, Any]) -> None:
    """The bytes as the job printed them: a pipe behind us may want just those."""
    where = sys.stdout if stream == "stdout" else sys.stderr
    where.flush()
    where.buffer.write(base64.b64decode(chunk["base64"]) if chunk["base64"] else chunk["text"].encode())
    where.flush()


def _act(job: int, verb: str, as_json: bool) -> None:
    found = Connection.find().post(f"/jobs/{job}/{verb}")
    if as_json:
        print_json(found)
    else:
        print(f"Job {job} is {found['status']}.")


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
