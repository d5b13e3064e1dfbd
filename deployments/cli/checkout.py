"""`opsgate checkout`: who holds which identity, and ending that."""

from typing import Annotated

from cyclopts import App, Parameter

from deployments.cli.connection import Connection
from deployments.cli.output import Json, Limit, print_facts, print_rows

app = App(name="checkout", help_format="plaintext")

Number = Annotated[int, Parameter(name="CHECKOUT", help="The number of a checkout.")]
Statuses = Annotated[
    list[str], Parameter(name="--status", negative="", help="Only these, e.g. active; repeatable.")
]


@app.command(name="list")
def list_(
    *,
    status: Statuses = [],  # noqa: B006
    identity: str | None = None,
    instance: int | None = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """List checkouts, the newest first."""
    columns = ("id", "status", "identity", "person", "instance_id", "reason", "deadline", "end_reason")
    query = {"status": status or None, "identity": identity, "instance": instance}
    print_rows(Connection.find().items("/checkouts", limit, **query), columns, as_json=json)


@app.command
def show(checkout: Number, /, *, json: Json = False) -> None:
    """Show one checkout."""
    print_facts(Connection.find().get(f"/checkouts/{checkout}"), as_json=json)


@app.command
def checkin(checkout: Number, /, *, json: Json = False) -> None:
    """End a checkout, whatever its workflow does: no further step runs as the identity by it."""
    print_facts(Connection.find().post(f"/checkouts/{checkout}/checkin"), as_json=json)
