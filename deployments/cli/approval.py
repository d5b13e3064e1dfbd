"""`opsgate approval`: see what waits for a decision, and decide."""

from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from deployments.cli import approval_plan
from deployments.cli.connection import Connection
from deployments.cli.errors import WrongUse
from deployments.cli.output import Json, Limit, cell, print_facts, print_json, print_rows

app = App(name="approval", help_format="plaintext")

Mine = Annotated[bool, Parameter(negative="", help="Those that wait for you.")]
Started = Annotated[bool, Parameter(negative="", help="Of instances you started, decided ones too.")]
All = Annotated[bool, Parameter(name="--all", negative="", help="Everybody's, decided ones too.")]
Status = Literal["pending", "approved", "rejected", "expired", "withdrawn"]

_COLUMNS = (
    "id",
    "status",
    "title",
    "workflow_name",
    "instance_id",
    "started_by_name",
    "deadline",
    "sentence",
)


@app.command(name="list")
def list_(
    *,
    mine: Annotated[bool, Parameter(negative="", help="Those that wait for you.")] = False,
    started: Annotated[
        bool, Parameter(negative="", help="Of instances you started, decided ones too.")
    ] = False,
    all_: Annotated[
        bool, Parameter(name="--all", negative="", help="Everybody's, decided ones too.")
    ] = False,
    status: Annotated[Status | None, Parameter(help="Only these.")] = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """List approval requests, the newest first; those that are open, unless asked otherwise."""
    if mine + started + all_ > 1:
        raise WrongUse("Give one of --mine, --started and --all.")
    asked: dict[str, str | None] = {"status": status or (None if started or all_ else "pending")}
    asked |= {name: "true" for name, wanted in (("mine", mine), ("started", started)) if wanted}
    print_rows(Connection.find().items("/approvals", limit, **asked), _COLUMNS, as_json=json)


@app.command
def show(approval: int, *, json: Json = False) -> None:
    """Show a request: what is asked, for which hosts and values, who has voted, and what runs up to the next
    gate if people say yes, with what has changed since that was last approved."""
    found = Connection.find().get(f"/approvals/{approval}")
    print_facts(found, as_json=json, leave_out=("frozen", "plan"))
    if not json:
        print("\n".join(approval_plan.lines(found["plan"])))


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
