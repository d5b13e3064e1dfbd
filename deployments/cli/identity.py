"""`opsgate identity`: privileged accounts, without their credentials; saving one is `opsgate apply`."""

from collections.abc import Mapping
from typing import Any

from cyclopts import App

from definitions.harmless import terminal_text
from deployments.cli.checkout import holder
from deployments.cli.connection import Connection, segment
from deployments.cli.output import Json, cell, print_json
from deployments.cli.versioned import Name, add_verbs

app = App(name="identity", help_format="plaintext")

_COLUMNS = ("id", "name", "version", "quarantined_at", "created_at", "created_by_name")


def _holders(connection: Connection, found: Mapping[str, Any]) -> None:
    """Who holds it, and who waits for it; for who may see checkouts, as whoever sees it may."""
    number, open_still = str(found["id"]), ["active", "requested"]
    for each in connection.items("/checkouts", 50, identity=number, status=open_still):
        verb = "held" if each["status"] == "active" else "waited for"
        until = f", until {cell(each['deadline'])}" if each["deadline"] else ""
        print(
            f"{verb} by {cell(each['person'] or 'opsgate')} for {holder(each)} (checkout {each['id']}{until})"
        )


add_verbs(app, "/identities", _COLUMNS, more=_holders)


@app.command
def rotate(name: Name, /, *, json: Json = False) -> None:
    """Have its credential replaced, which ends a quarantine; refused while it is checked out."""
    found = Connection.find().post(f"/identities/{segment(name)}/rotate", seconds=90)
    if json:
        print_json(found)
    else:
        print(terminal_text(found["message"]))
