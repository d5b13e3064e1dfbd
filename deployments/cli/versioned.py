"""The verbs that `opsgate script`, `library` and `workflow` have in common; each adds them to its own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from cyclopts import App, Parameter

from definitions.harmless import terminal_text
from deployments.cli.connection import Connection, segment
from deployments.cli.output import Json, Limit, cell, print_facts, print_json, print_rows

Name = Annotated[str, Parameter(name="NAME", help="Its name or id.")]
Version = Annotated[int, Parameter(help="The number of a version.")]

_COLUMNS = ("id", "name", "version", "language", "created_at", "created_by_name")


More = Callable[[Connection, Mapping[str, Any]], None]


def add_verbs(app: App, path: str, columns: Sequence[str] = _COLUMNS, *, more: More | None = None) -> None:
    """list, show, versions, diff, rollback, archive of what lies under `path`; `columns` of the list, `more`
    prints what `show` says beyond the definition."""
    _add_show(app, path, more)
    add_versions(app, path, "version", ("version", "created_at", "created_by_name", "language"))
    add_shelf(app, path, columns)


def add_shelf(app: App, path: str, columns: Sequence[str]) -> None:
    """list, archive: what there is, and what is hidden."""

    @app.command(name="list")
    def list_(*, archived: bool = False, limit: Limit = 100, json: Json = False) -> None:
        """List them, the newest first; with --archived those that are hidden."""
        print_rows(Connection.find().items(path, limit, archived=archived), columns, as_json=json)

    @app.command
    def archive(name: Name, /, *, json: Json = False) -> None:
        """Hide it; refused, saying why, while something needs it. Saving it again brings it back."""
        Connection.find().delete(f"{path}/{segment(name)}")
        if json:
            print_json({"archived": name})
        else:
            print(f"{name} is archived.")


def _add_show(app: App, path: str, more: More | None) -> None:
    @app.command
    def show(name: Name, /, *, version: Version | None = None, json: Json = False) -> None:
        """Show one and its text; the newest version unless another is asked for."""
        connection = Connection.find()
        found = connection.get(f"{path}/{segment(name)}", version=version)
        print_facts(found, as_json=json, leave_out=("definition",))
        if not json:
            definition = found.get("definition", {})
            for field, value in definition.items():
                if field == "parameters":
                    print("  parameters:" + "".join(f"\n    {_parameter(each)}" for each in value))
                elif field != "content":
                    print(f"  {field.replace('_', ' ')}: {cell(value)}")
            if "content" in definition:
                print(f"\n{cell(definition['content'])}")
            if more is not None:
                more(connection, found)


def _parameter(declared: dict[str, Any]) -> str:
    """A parameter in a line: its name, then what is declared of it."""
    said = [cell(declared["type"]), *(["required"] if declared["required"] else [])]
    said += [
        f"{field} {cell(declared[field])}"
        for field in ("default", "choices", "description")
        if declared.get(field) not in (None, "", [])
    ]
    return f"{cell(declared['name'])}: {', '.join(said)}"


def add_versions(app: App, path: str, newest: str, columns: Sequence[str]) -> None:
    """versions, diff, rollback. `newest`: the field that says which version is; `columns` of the list."""

    @app.command
    def versions(name: Name, /, *, limit: Limit = 100, json: Json = False) -> None:
        """List its versions, the newest first: who saved each, and when."""
        found = Connection.find().items(f"{path}/{segment(name)}/versions", limit)
        print_rows(found, columns, as_json=json)

    @app.command
    def diff(name: Name, old: Version, new: Version | None = None, /, *, json: Json = False) -> None:
        """Show what changed from one version to another, or to the newest."""
        connection = Connection.find()
        address = f"{path}/{segment(name)}"
        to = connection.get(address)[newest] if new is None else new
        found = connection.get(f"{address}/versions/{old}/diff/{to}")
        if json:
            print_json(found)
            return
        parts = [part for part in (found["settings"], found["content"]) if part]
        print("\n".join(map(terminal_text, parts)) or "They are the same.")

    @app.command
    def rollback(name: Name, version: Version, /, *, json: Json = False) -> None:
        """Save an older version again, as the newest."""
        body = {"version": version}
        found: dict[str, Any] = Connection.find().post(f"{path}/{segment(name)}/rollback", body)
        if json:
            print_json(found)
        else:
            print(f"{found['name']} is as it was in version {version}, now version {found[newest]}.")
