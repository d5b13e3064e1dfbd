"""`opsgate role`: the roles and what each may do."""

from cyclopts import App

from deployments.cli.connection import Connection
from deployments.cli.output import Json, print_rows

app = App(name="role", help_format="plaintext")


@app.command(name="list")
def list_(*, json: Json = False) -> None:
    """List the roles with their permissions."""
    answer = Connection.find().get("/roles")
    rows = answer["items"] if isinstance(answer, dict) else answer
    print_rows(rows, ("id", "name", "permissions", "built_in"), as_json=json)
