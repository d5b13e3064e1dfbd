"""`opsgate checkout`: who holds which identity, and ending that."""

from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import App, Parameter

from deployments.cli.connection import Connection
from deployments.cli.output import Json, Limit, cell, print_facts, print_json, print_rows, print_table

app = App(name="checkout", help_format="plaintext")

Number = Annotated[int, Parameter(name="CHECKOUT", help="The number of a checkout.")]
_SAID = ("identity", "identity_version", "instance_id", "step_id", "asked_because", "person")
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
    columns = ("id", "status", "identity", "person", "for", "reason", "deadline", "end_reason")
    query = {"status": status or None, "identity": identity, "instance": instance}
    found = Connection.find().items("/checkouts", limit, **query)
    print_rows(found if json else [{**each, "for": holder(each)} for each in found], columns, as_json=json)


@app.command
def show(checkout: Number, /, *, json: Json = False) -> None:
    """Show one checkout: for what it is, where it stands, and what became of it."""
    _print(Connection.find().get(f"/checkouts/{checkout}"), as_json=json)


@app.command
def checkin(checkout: Number, /, *, json: Json = False) -> None:
    """End a checkout, whatever its workflow does: nothing runs as the identity by it any more."""
    found = Connection.find().post(f"/checkouts/{checkout}/checkin")
    if json:
        print_json(found)
    else:
        print(f"Checkout {checkout} of {cell(found['identity'])} is {found['status']}.")


def holder(checkout: Mapping[str, Any]) -> str:
    """What has a checkout, in a few words."""
    if checkout["instance_id"] is not None:
        return f"instance {checkout['instance_id']}, step {checkout['step_id']}"
    jobs = checkout["jobs"]
    return f"job {jobs[0]}" if len(jobs) == 1 else f"{len(jobs)} jobs"


def _print(found: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    shown = {name: value for name, value in found.items() if value not in (None, "", [])}
    print_facts(shown, as_json=False, leave_out=("trail",))
    rows = [(row["at"], row["actor_name"], row["action"], _more(row["detail"])) for row in found["trail"]]
    print()
    print_table(("at", "who", "what", "more"), rows)


def _more(detail: Mapping[str, Any]) -> dict[str, Any]:
    """What a row of the trail says beyond what stands above it."""
    return {name: value for name, value in detail.items() if name not in _SAID and value is not None}
