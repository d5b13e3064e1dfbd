"""`opsgate approval`: see what waits for a decision, and decide."""

from typing import Any

from cyclopts import App

from deployments.cli.connection import Connection
from deployments.cli.output import Json, Limit, cell, print_facts, print_json, print_rows

app = App(name="approval", help_format="plaintext")


@app.command(name="list")
def list_(
    *, status: str | None = "pending", mine: bool = False, limit: Limit = 50, json: Json = False
) -> None:
    """List approval requests; --mine only those that wait for you."""
    columns = (
        "id",
        "status",
        "title",
        "workflow_name",
        "instance_id",
        "started_by_name",
        "deadline",
        "sentence",
    )
    found = Connection.find().items("/approvals", limit, status=status, mine="true" if mine else None)
    print_rows(found, columns, as_json=json)


@app.command
def show(approval: int, *, json: Json = False) -> None:
    """Show a request: what is asked, for which hosts and values, and who has voted."""
    found = Connection.find().get(f"/approvals/{approval}")
    print_facts(found, as_json=json, leave_out=("frozen",))


@app.command
def approve(approval: int, *, comment: str = "", digest: str | None = None, json: Json = False) -> None:
    """Vote yes to what the request shows now, or to exactly the --digest you have seen."""
    _vote(approval, "approve", comment, digest, json)


@app.command
def reject(approval: int, *, comment: str = "", digest: str | None = None, json: Json = False) -> None:
    """Vote no."""
    _vote(approval, "reject", comment, digest, json)


def _vote(approval: int, decision: str, comment: str, digest: str | None, as_json: bool) -> None:
    connection = Connection.find()
    seen = digest or connection.get(f"/approvals/{approval}")["digest"]
    body = {"decision": decision, "comment": comment, "digest": seen}
    found: dict[str, Any] = connection.post(f"/approvals/{approval}/vote", body)
    if as_json:
        print_json(found)
    else:
        print(cell(found["sentence"]))
