"""`opsgate audit`: who did what, and when."""

from cyclopts import App

from deployments.cli.connection import Connection
from deployments.cli.output import Json, Limit, print_rows

app = App(name="audit", help_format="plaintext")


@app.command(name="list")
def list_(*, limit: Limit = 50, json: Json = False) -> None:
    """List what was done, the newest first."""
    columns = ("id", "at", "actor_name", "action", "subject_kind", "subject_id", "detail")
    print_rows(Connection.find().items("/audit", limit), columns, as_json=json)
