"""`opsgate notice`: where one wants to be told of what, and what came of it."""

from typing import Annotated

from cyclopts import App, Parameter

from deployments.cli.connection import Connection
from deployments.cli.output import Json, Limit, print_facts, print_json, print_rows
from deployments.cli.values import collect

app = App(name="notice", help_format="plaintext")

Events = Annotated[
    list[str],
    Parameter(name="--event", negative="", help="Only this, e.g. approval.asked; repeatable. Default: all."),
]


@app.command(name="list")
def list_(*, every: bool = False, limit: Limit = 100, json: Json = False) -> None:
    """List your channels; --every: also those of roles and of other people."""
    columns = ("id", "name", "user", "role", "shown", "events", "created_at")
    found = Connection.find().items("/notice-channels", limit, every="true" if every else None)
    print_rows(found, columns, as_json=json)


@app.command
def add(
    name: str,
    *,
    role: str | None = None,
    event: Events = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Set up a channel of yours, or of everybody with --role. The address is asked for, or read as a line of
    standard input: it is a secret (docs/notices.md has what it looks like)."""
    body = {"name": name, "url": collect([], ["url"], "")["url"], "role": role, "events": event or None}
    print_facts(Connection.find().post("/notice-channels", body), as_json=json)


@app.command
def remove(channel: int, *, json: Json = False) -> None:
    """Forget a channel, and what waits to be sent to it."""
    Connection.find().delete(f"/notice-channels/{channel}")
    _done(json, "removed", channel, f"Channel {channel} is removed.")


@app.command(name="test")
def try_out(channel: int, *, json: Json = False) -> None:
    """Send a notice that says nothing, to see that it comes."""
    Connection.find().post(f"/notice-channels/{channel}/test")
    _done(json, "tested", channel, "It is on its way; `opsgate notice deliveries` says what came of it.")


@app.command
def deliveries(*, state: str | None = None, limit: Limit = 50, json: Json = False) -> None:
    """List what was sent, the newest first; --state waiting, sent or dead (given up)."""
    columns = ("id", "state", "title", "channel", "user", "role", "attempts", "last_error", "created_at")
    print_rows(Connection.find().items("/notice-deliveries", limit, state=state), columns, as_json=json)


@app.command
def retry(delivery: int, *, json: Json = False) -> None:
    """Try a notice that was given up again."""
    Connection.find().post(f"/notice-deliveries/{delivery}/retry")
    _done(json, "retried", delivery, f"Notice {delivery} is tried again.")


def _done(as_json: bool, word: str, number: int, sentence: str) -> None:
    if as_json:
        print_json({word: number})
    else:
        print(sentence)
