"""`opsgate approval`: see what waits for a decision, and decide."""

import sys
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
    if json:
        print_facts(found, as_json=True, leave_out=("frozen", "plan"))
    else:
        _show(found)


@app.command
def approve(
    approval: int,
    *,
    comment: str = "",
    digest: str | None = None,
    yes: Annotated[bool, Parameter(negative="", help="Whatever it shows: don't ask.")] = False,
    json: Json = False,
) -> None:
    """Vote yes: shows what will run and asks, on a terminal; else give the --digest of what you have seen."""
    if digest is None and not yes:
        if json or not sys.stdin.isatty():
            raise WrongUse(
                f"Give --digest, of what `opsgate approval show {approval}` showed you, or --yes: "
                "only on a terminal, and without --json, you are shown it and asked."
            )
        digest = _looked_at(approval)
    _vote(approval, "approve", comment, digest, json)


@app.command
def reject(approval: int, *, comment: str = "", digest: str | None = None, json: Json = False) -> None:
    """Vote no."""
    _vote(approval, "reject", comment, digest, json)


def _looked_at(approval: int) -> str:
    """Show the request and ask; the digest of what was shown."""
    found = Connection.find().get(f"/approvals/{approval}")
    _show(found)
    if input("Approve this? [y/N] ").strip().lower() not in ("y", "yes"):
        raise WrongUse("Nothing was decided.")
    return str(found["digest"])


def _show(found: dict[str, Any]) -> None:
    print_facts(found, as_json=False, leave_out=("frozen", "plan", "set_going"))
    credential = approval_plan.credential(found["frozen"])
    print("\n".join([*credential, *approval_plan.went_on(found), *approval_plan.lines(found["plan"])]))


def _vote(approval: int, decision: str, comment: str, digest: str | None, as_json: bool) -> None:
    connection = Connection.find()
    seen = digest or connection.get(f"/approvals/{approval}")["digest"]
    body = {"decision": decision, "comment": comment, "digest": seen}
    found: dict[str, Any] = connection.post(f"/approvals/{approval}/vote", body)
    if as_json:
        print_json(found)
    else:
        print(cell(found["sentence"]))
