"""`opsgate workflow`: validate and simulate a file; list, show, publish, compare, archive and start on a
server."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from definitions.harmless import visible
from deployments.cli.connection import Connection, segment
from deployments.cli.errors import WrongUse, problem_lines
from deployments.cli.output import Hosts, Json, print_facts, print_json
from deployments.cli.values import FORM, Secrets, collect, refuse_open
from deployments.cli.versioned import Version, add_shelf, add_versions

app = App(name="workflow", help_format="plaintext")
add_versions(app, "/workflows", "published_version", ("version", "published_at", "published_by_name"))
add_shelf(app, "/workflows", ("id", "name", "published_version", "published_at", "description"))

OfDraft = Annotated[bool, Parameter(negative="", help="The steps of the draft, not of what is published.")]
Inputs = Annotated[list[str], Parameter(name="--input", negative="", help=f"An input, {FORM}")]


@app.command
def validate(file: Path, *, json: Json = False) -> int:
    """Check a definition file without a server, and print every problem at once."""
    from definitions.examination import examine
    from definitions.problems import has_errors

    workflow, problems = examine(read_document(file))
    wrong = workflow is None or has_errors(problems)
    found = [problem.model_dump() for problem in problems]
    if json:
        print_json({"valid": not wrong, "problems": found})
    else:
        print(f"{file}: {'not valid' if wrong else 'valid'}")
        for line in problem_lines(found):
            print(line)
    return 1 if wrong else 0


def read_document(file: Path) -> object:
    """What a file says of a workflow."""
    from deployments.definition_files import load
    from deployments.definition_kinds import KINDS

    if not file.is_file():
        raise WrongUse(f"There is no file {file}.")
    document = load(file)
    kind = document.get("kind") if isinstance(document, dict) else None
    if kind in KINDS and kind != "workflow":
        raise WrongUse(f"{file} defines a {kind}, not a workflow; `opsgate apply` checks a whole folder.")
    if isinstance(document, dict):
        document.pop("draft", None)  # of the file, not of the workflow
    return document


app.command("deployments.cli.simulate:simulate", name="simulate")


@app.command
def show(
    workflow: str, *, version: Version | None = None, draft: OfDraft = False, json: Json = False
) -> None:
    """Show a workflow, its draft's problems, and what its steps do and where they lead."""
    from deployments.cli.workflow_detail import print_definition

    connection = Connection.find()
    path = f"/workflows/{segment(workflow)}"
    found = connection.get(path)
    if json and version is None:
        print_json(found)
        return
    shown = version or (None if draft else found["published_version"])
    published = None if shown is None else connection.get(f"{path}/versions/{shown}")
    if json:
        print_json(published)
        return
    print_facts(found, as_json=False, leave_out=("draft", "problems"))
    for line in problem_lines(found["problems"]):
        print(visible(line))
    if published is None:
        print_definition(connection, f"Draft, revision {found['revision']}", found["draft"])
    else:
        print_definition(connection, f"Version {shown}", published["definition"])
    if published is not None and found["changed_since_published"]:
        print("\nThe draft is another: --draft shows it.")


@app.command
def publish(workflow: str, *, json: Json = False) -> None:
    """Prove the draft and make it the version that new instances run."""
    found = Connection.find().post(f"/workflows/{segment(workflow)}/publish")
    if json:
        print_json(found)
    else:
        print(f"Published {found.get('name', workflow)}, version {found.get('published_version')}.")


@app.command
def start(
    workflow: str,
    *,
    host: Hosts = [],  # noqa: B006
    input: Inputs = [],  # noqa: B006
    secret: Secrets = [],  # noqa: B006
    watch: bool = False,
    json: Json = False,
) -> int:
    """Start an instance on hosts; with --watch, follow it to its end."""
    from deployments.cli.instance import follow

    connection = Connection.find()
    body = {"hosts": host, "inputs": collect(input, secret, "--input")}
    path = f"/workflows/{segment(workflow)}"
    refuse_open(input, lambda: _inputs(connection, path), "--input")
    instance: dict[str, Any] = connection.post(f"{path}/start", body)
    if watch:
        return follow(connection, instance["id"], as_json=json)
    if json:
        print_json(instance)
    else:
        print(f"Started instance {instance['id']} of {instance['workflow_name']}.")
        print(f"  {connection.url}/instances/{instance['id']}")
    return 0


def _inputs(connection: Connection, path: str) -> object:
    """The inputs of the version that would run: the draft may declare others."""
    found = connection.get(path)
    version = found["published_version"]
    if version is None:
        return found["draft"].get("inputs")
    return connection.get(f"{path}/versions/{version}")["definition"]["inputs"]
