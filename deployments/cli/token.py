"""`opsgate token`: what programs authenticate with."""

from datetime import UTC, datetime, timedelta

from cyclopts import App

from deployments.cli.connection import Connection
from deployments.cli.output import Json, Limit, print_json, print_rows

app = App(name="token", help_format="plaintext")


@app.command(name="list")
def list_(*, limit: Limit = 100, json: Json = False) -> None:
    """List tokens; what they say is never shown again."""
    columns = ("id", "name", "user", "created_at", "expires_at", "last_used_at", "revoked_at")
    print_rows(Connection.find().items("/tokens", limit), columns, as_json=json)


@app.command
def create(name: str, *, days: int | None = None, json: Json = False) -> None:
    """Create a token of your own; it is shown once. --days: how long it is good for."""
    until = None if days is None else (datetime.now(UTC) + timedelta(days=days)).isoformat()
    found = Connection.find().post("/tokens", {"name": name, "expires_at": until})
    if json:
        print_json(found)
    else:
        print(found["token"])


@app.command
def revoke(token: int, *, json: Json = False) -> None:
    """Make a token worthless at once."""
    Connection.find().delete(f"/tokens/{token}")
    if json:
        print_json({"revoked": token})
    else:
        print(f"Token {token} is revoked.")
