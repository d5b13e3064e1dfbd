"""`opsgate apply -f DIR`: bring a server's scripts and workflows to what a folder of files says.

Works over REST and in the order scripts, workflows; unchanged things are left alone. Every file is
checked before the first write; what only the server knows it checks at each definition's turn, and a
refusal says what was done before it.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from definitions.errors import Invalid
from definitions.problems import Problem, has_errors
from deployments.cli.connection import Connection, segment
from deployments.cli.errors import Refused, WrongUse
from deployments.cli.output import Json, print_json
from deployments.definition_files import DefinitionFile, load_folder

Change = Literal["created", "changed", "unchanged"]

_PATHS = {"script": "/scripts", "workflow": "/workflows"}


def apply(
    *,
    folder: Annotated[Path, Parameter(name=["--folder", "-f"])],
    dry_run: bool = False,
    json: Json = False,
) -> None:
    """Apply every definition in a folder; with --dry-run only say what would change."""
    if not folder.is_dir():
        raise WrongUse(f"There is no folder {folder}.")
    report = apply_folder(Connection.find(), folder, dry_run=dry_run)
    if json:
        print_json(report)
        return
    for entry in report:
        would = "would be " if dry_run and entry["change"] != "unchanged" else ""
        print(f"{entry['kind']:<9} {entry['name']:<32} {would}{entry['change']}")


def apply_folder(connection: Connection, folder: Path, *, dry_run: bool = False) -> list[dict[str, Any]]:
    """Apply a folder and say of each definition what happened to it."""
    found = load_folder(folder)
    problems = [problem for one in found for problem in _check(one)]
    if has_errors(problems):
        raise Invalid(f"Definitions in {folder} are not valid; nothing was applied.", problems)
    report: list[dict[str, Any]] = []
    for one in found:
        try:
            change = _bring(connection, one, dry_run)
        except Refused as refusal:
            written = [f"{entry['kind']} {entry['name']}" for entry in report if _new(entry)]
            done = "" if dry_run else f" Applied before it: {', '.join(written) or 'nothing'}."
            detail = f"{one.path.name}: {refusal.message}{done}"
            raise Refused(refusal.status, {**refusal.problem, "detail": detail}) from None
        report.append({"kind": one.kind, "name": str(one.document["name"]), "change": change})
    return report


def _new(entry: dict[str, Any]) -> bool:
    return bool(entry["change"] != "unchanged")


def _check(one: DefinitionFile) -> list[Problem]:
    """Everything that can be seen without the server; what a script file itself names comes with it."""
    from definitions.examination import examine
    from definitions.script import parse_script

    problems: list[Problem]
    if one.kind == "script":
        _, problems = parse_script(one.document)
    elif one.kind == "workflow":
        _, problems = examine(one.document)
    else:
        raise Invalid(f"{one.path}: {one.kind} definitions can't be applied yet.")
    errors = [problem for problem in problems if problem.severity == "error"]
    return [
        problem.model_copy(update={"message": f"{one.path.name}: {problem.message}"}) for problem in errors
    ]


def _bring(connection: Connection, one: DefinitionFile, dry_run: bool) -> Change:
    path, name = _PATHS[one.kind], segment(one.document["name"])
    try:
        before: dict[str, Any] | None = connection.get(f"{path}/{name}")
    except Refused as refusal:
        if refusal.status != 404:
            raise
        before = None
    if dry_run:
        changed = before is None or not _same(one, before)
    elif one.kind == "script":
        changed = connection.bring(f"{path}/by-name/{name}", one.document)
    else:
        changed = connection.bring(f"{path}/by-name/{name}", one.document, publish=True)
    return "created" if before is None else "changed" if changed else "unchanged"


def _same(one: DefinitionFile, before: dict[str, Any]) -> bool:
    """Whether the server already has this, whatever way it is written down."""
    from definitions.script import parse_script
    from definitions.workflow import parse

    if one.kind == "script":
        script, _ = parse_script(one.document)
        kept, _ = parse_script(before["definition"])
        return script is not None and script == kept and not before["archived"]
    workflow, _ = parse(one.document)
    draft, _ = parse(before["draft"])
    published = before["published_version"] is not None and not before["changed_since_published"]
    return workflow is not None and workflow == draft and published and not before["archived"]
