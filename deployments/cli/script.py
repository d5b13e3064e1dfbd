"""`opsgate script`: list, show, and run a script on hosts."""

from typing import Annotated

from cyclopts import App, Parameter

from deployments.cli.connection import Connection, segment
from deployments.cli.output import Hosts, Json, Limit, cell, print_facts, print_json, print_rows
from deployments.cli.values import FORM, Secrets, collect, refuse_open

app = App(name="script", help_format="plaintext")

Params = Annotated[list[str], Parameter(name="--param", negative="", help=f"A parameter, {FORM}")]


@app.command(name="list")
def list_(*, limit: Limit = 100, json: Json = False) -> None:
    """List the scripts."""
    columns = ("id", "name", "version", "language", "created_at", "created_by_name")
    print_rows(Connection.find().items("/scripts", limit), columns, as_json=json)


@app.command
def show(script: str, *, json: Json = False) -> None:
    """Show a script and its text."""
    found = Connection.find().get(f"/scripts/{segment(script)}")
    print_facts(found, as_json=json, leave_out=("definition",))
    if not json:
        definition = found.get("definition", {})
        for name, value in definition.items():
            if name != "content":
                print(f"  {name.replace('_', ' ')}: {cell(value)}")
        print(f"\n{cell(definition.get('content', ''))}")


@app.command
def run(
    script: str,
    *,
    host: Hosts,
    param: Params = [],  # noqa: B006
    secret: Secrets = [],  # noqa: B006
    wait: bool = True,
    json: Json = False,
) -> int:
    """Run a script on hosts, one job each, and wait for the results (--no-wait: don't)."""
    from deployments.cli.job import wait_for

    connection = Connection.find()
    body = {"hosts": host, "parameters": collect(param, secret, "--param")}
    path = f"/scripts/{segment(script)}"
    refuse_open(param, lambda: connection.get(path)["definition"]["parameters"], "--param")
    jobs: list[int] = connection.post(f"{path}/execute", body)["jobs"]
    if wait:
        return wait_for(connection, jobs, as_json=json)
    if json:
        print_json({"jobs": jobs})
    else:
        print(f"Dispatched: {', '.join(f'job {job}' for job in jobs)}.")
    return 0
