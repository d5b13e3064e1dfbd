"""`opsgate role`: the roles and what each may do."""

from cyclopts import App

from deployments.cli.connection import Connection
from deployments.cli.output import Json, print_rows

app = App(name="role", help_format="plaintext")


@app.command(name="list")
def list_(*, json: Json = False) -> None:
    """List the roles with their permissions."""
    columns = ("id", "name", "permissions", "built_in")
    print_rows(Connection.find().get("/roles")["items"], columns, as_json=json)
