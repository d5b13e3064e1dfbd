"""`opsgate user`: the people who may sign in."""

import secrets
from typing import Annotated, Any

from cyclopts import App, Parameter

from deployments.cli.connection import Connection, segment
from deployments.cli.errors import WrongUse
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


@app.command
def change(
    name: str,
    *,
    role: Annotated[
        list[str] | None, Parameter(negative="", help="A role; those given replace the roles so far.")
    ] = None,
    email: Annotated[str | None, Parameter(help="The address for notices; empty: none.")] = None,
    disabled: Annotated[bool | None, Parameter(help="Whether the account is closed.")] = None,
    json: Json = False,
) -> None:
    """Change a user's roles or e-mail address; close the account, or open it again."""
    given = {"roles": role, "email": email, "disabled": disabled}
    body = {key: value for key, value in given.items() if value is not None}
    if not body:
        raise WrongUse("Nothing to change: give --role, --email, --disabled or --no-disabled.")
    columns = ("id", "name", "email", "roles", "disabled_at")
    print_rows([_change(name, body)], columns, as_json=json)


@app.command
def password(name: str, *, json: Json = False) -> None:
    """Give a user a new password that is made up and shown once. Ends their sessions and, of others than
    yourself, their tokens."""
    new = secrets.token_urlsafe(12)
    found = _change(name, {"password": new})
    if json:
        print_json({**found, "password": new})
    else:
        print(f"{found['name']} has the password {new} (shown only now); {found['tokens']} tokens are good.")


def _change(name: str, body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = Connection.find().patch(f"/users/{segment(name)}", body)
    return found
