"""`opsgate host`: list the machines, tag them, take one out of service."""

from cyclopts import App

from deployments.cli.connection import Connection, segment
from deployments.cli.output import Json, Limit, cell, print_json, print_rows

app = App(name="host", help_format="plaintext")


@app.command(name="list")
def list_(*, limit: Limit = 100, json: Json = False) -> None:
    """List the hosts and whether their agents are online."""
    columns = ("id", "name", "os", "tags", "online", "last_seen_at")
    print_rows(Connection.find().items("/hosts", limit), columns, as_json=json)


@app.command
def tag(host: str, *tags: str, json: Json = False) -> None:
    """Replace a host's tags by these; none: take all away."""
    found = Connection.find().patch(f"/hosts/{segment(host)}", {"tags": list(tags)})
    if json:
        print_json(found)
    else:
        print(f"{found['name']}: {cell(found['tags']) or 'no tags'}")


@app.command
def decommission(host: str, *, json: Json = False) -> None:
    """Take a host out of service: its agent is refused from now on."""
    found = Connection.find().delete(f"/hosts/{segment(host)}")
    if json:
        print_json(found)
    else:
        print(f"{host} is decommissioned.")
