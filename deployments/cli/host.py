"""`opsgate host`: list the machines, show one, tag and group them, take one out of service and back."""

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import App, Parameter

from deployments.cli.connection import Connection, segment
from deployments.cli.errors import WrongUse
from deployments.cli.output import Json, Limit, cell, print_facts, print_json, print_rows

app = App(name="host", help_format="plaintext")

Keep = Annotated[bool, Parameter(negative="", help="Add to those it has.")]
Drop = Annotated[bool, Parameter(negative="", help="Take these away and leave the others.")]


@app.command(name="list")
def list_(
    *,
    tag: str | None = None,
    group: str | None = None,
    online: Annotated[bool | None, Parameter(negative="--offline")] = None,
    decommissioned: Annotated[bool, Parameter(negative="")] = False,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List the hosts and whether their agents are online."""
    columns = ("id", "name", "os", "tags", "groups", "online", "agent_version", "last_seen_at", "queued")
    found = Connection.find().items(
        "/hosts",
        limit,
        tag=tag,
        group=group,
        online=_query(online),
        decommissioned=_query(decommissioned),
    )
    print_rows(found, columns, as_json=json)


@app.command
def show(host: str, *, json: Json = False) -> None:
    """Show a host: its agent, and what it says about itself."""
    found = Connection.find().get(f"/hosts/{segment(host)}")
    facts = {f"fact {name}": value for name, value in found["facts"].items()}
    print_facts(found if json else {**found, **facts}, as_json=json, leave_out=("facts",))


@app.command
def groups(*, json: Json = False) -> None:
    """List the groups and the hosts in them."""
    print_rows(Connection.find().get("/groups")["items"], ("name", "hosts"), as_json=json)


@app.command
def tag(host: str, *tags: str, add: Keep = False, remove: Drop = False, json: Json = False) -> None:
    """Replace a host's tags by these; none: take all away. --add, --remove: change only these."""
    _label(host, "tags", tags, add, remove, json)


@app.command
def group(host: str, *groups: str, add: Keep = False, remove: Drop = False, json: Json = False) -> None:
    """Replace the groups a host is in by these; none: take it out of all. --add, --remove: only these."""
    _label(host, "groups", groups, add, remove, json)


@app.command
def allow_reenrolment(host: str, *, json: Json = False) -> None:
    """Let a name that is taken enrol again within the next hour; the agent there was ends when it does."""
    found = Connection.find().post(f"/hosts/{segment(host)}/allow-reenrolment")
    if json:
        print_json(found)
    else:
        print(f"{found['name']} may enrol again until {cell(found['reenrol_until'])}.")


@app.command
def decommission(host: str, *, json: Json = False) -> None:
    """Take a host out of service: its agent is refused from now on, its unfinished jobs fail."""
    found = Connection.find().delete(f"/hosts/{segment(host)}")
    if json:
        print_json(found)
        return
    print(f"{found['name']} is decommissioned; its agent is refused from now on.")
    if found["failed_jobs"]:
        print(f"Failed, for they had not ended: {', '.join(f'job {job}' for job in found['failed_jobs'])}.")


def _label(host: str, kind: str, given: Sequence[str], add: bool, remove: bool, as_json: bool) -> None:
    if add and remove:
        raise WrongUse("Either --add or --remove.")
    wanted = {"add" if add else "remove": given} if add or remove else given
    found: dict[str, Any] = Connection.find().patch(f"/hosts/{segment(host)}", {kind: wanted})
    if as_json:
        print_json(found)
    else:
        print(f"{found['name']}: {cell(found[kind]) or f'no {kind}'}")


def _query(value: bool | None) -> str | None:
    return None if value is None else str(value).lower()
