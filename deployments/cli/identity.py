"""`opsgate identity`: privileged accounts, without their credentials; saving one is `opsgate apply`."""

from cyclopts import App

from definitions.harmless import terminal_text
from deployments.cli.connection import Connection, segment
from deployments.cli.output import Json, print_json
from deployments.cli.versioned import Name, add_verbs

app = App(name="identity", help_format="plaintext")

add_verbs(app, "/identities", ("id", "name", "version", "quarantined_at", "created_at", "created_by_name"))


@app.command
def rotate(name: Name, /, *, json: Json = False) -> None:
    """Have its credential replaced, which ends a quarantine; refused while it is checked out."""
    found = Connection.find().post(f"/identities/{segment(name)}/rotate", seconds=90)
    if json:
        print_json(found)
    else:
        print(terminal_text(found["message"]))
