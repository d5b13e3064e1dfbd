"""`opsgate user`: the people who may sign in."""

import secrets
from typing import Annotated

from cyclopts import App, Parameter

from deployments.cli.connection import Connection
from deployments.cli.output import Json, Limit, print_json, print_rows

app = App(name="user", help_format="plaintext")


@app.command(name="list")
def list_(*, limit: Limit = 100, json: Json = False) -> None:
    """List the users and their roles."""
    columns = ("id", "name", "email", "roles", "disabled_at", "created_at")
    print_rows(Connection.find().items("/users", limit), columns, as_json=json)


@app.command
def create(
    name: str,
    *,
    role: Annotated[list[str], Parameter(negative="", help="A role.")],
    email: str | None = None,
    json: Json = False,
) -> None:
    """Create a user with a password that is made up and shown once."""
    password = secrets.token_urlsafe(12)
    body = {"name": name, "email": email, "password": password, "roles": role}
    found = Connection.find().post("/users", body)
    if json:
        print_json({**found, "password": password})
    else:
        print(f"Created {found['name']}, password {password} (shown only now).")
