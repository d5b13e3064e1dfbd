"""What applying a folder would do: each definition compared with the server's, everything checked.

Only reads. The server checks again at each write; here everything it can be asked beforehand is asked,
so that a folder is refused whole, with every problem, before its first definition is written.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from definitions.catalogue import Catalogue, IdentityFacts, ScriptFacts
from definitions.errors import Invalid
from definitions.identity import Identity
from definitions.library import Library, unfit_links
from definitions.problems import Problem, has_errors
from definitions.proof import prove
from definitions.script import Language, Script
from definitions.step_documents import walk
from definitions.steps import PamCheckoutStep, ScriptStep, Step
from definitions.workflow import Workflow
from deployments.cli.connection import Connection, segment
from deployments.cli.errors import Refused
from deployments.definition_files import DefinitionFile, read_folder
from deployments.definition_kinds import Definition, by_name, script_ids
from deployments.definition_text import unified, write

Change = Literal["created", "changed", "unchanged"]


@dataclass(frozen=True)
class Planned:
    """One definition, and what applying it would do."""

    file: DefinitionFile
    change: Change
    diff: tuple[str, ...]
    """The lines of a unified diff from the server's definition to the file's."""
    note: str = ""
    """What else would happen."""


def make_plan(connection: Connection, folder: Path) -> list[Planned]:
    """Compare a folder with the server, in the order to apply it. `Invalid` names every problem found."""
    found = read_folder(folder)
    problems = [*found.problems, *(problem for one in found.files for problem in _check(one))]
    if has_errors(problems):
        raise Invalid(f"Definitions in {folder} are not valid; nothing was applied.", problems)
    current = [_found(connection, f"{one.kind.path}/{segment(one.name)}") for one in found.files]
    names = _names(connection, found.files, current)
    plan = [_compare(one, kept, names) for one, kept in zip(found.files, current, strict=True)]
    problems = list(_refusals(connection, plan))
    if problems:
        raise Invalid(f"The server could not take what is in {folder}; nothing was applied.", problems)
    return plan


def _check(one: DefinitionFile) -> list[Problem]:
    """Everything that can be seen without the server; of a draft, only what keeps it from being saved."""
    _, problems = one.kind.check(one.document)
    errors = [problem for problem in problems if problem.severity == "error"]
    if one.draft:
        errors = [problem for problem in errors if problem.pointer == "/name" or problem.code == "not-json"]
    return [one.at_fault(problem) for problem in errors]


def _names(
    connection: Connection, files: list[DefinitionFile], current: list[dict[str, Any] | None]
) -> dict[int, str]:
    """The server's scripts by id; asked for only when a workflow names one so."""
    drafts = [kept["draft"] for kept in current if kept is not None and "draft" in kept]
    if not any(
        True for document in [*(one.document for one in files), *drafts] for _ in script_ids(document)
    ):
        return {}
    return {row["id"]: row["name"] for row in connection.items("/scripts")}


def _found(connection: Connection, path: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = connection.get(path)
        return found
    except Refused as refusal:
        if refusal.status != 404:
            raise
        return None


def _compare(one: DefinitionFile, current: dict[str, Any] | None, names: dict[int, str]) -> Planned:
    given = by_name(one.document, names)
    if current is None:
        note = "saved as a draft" if one.draft else ""
        return Planned(one, "created", tuple(_diff(one, {}, {"kind": one.kind.name, **given})), note)
    kept = by_name(current[one.kind.document_in], names)
    before, after = _comparable(_model(one, kept), _model(one, given), kept, given)
    notes = ["taken out of the archive"] if current["archived"] else []
    if write(before, "json") != write(after, "json"):
        return Planned(one, "changed", tuple(_diff(one, before, after)), ", ".join(notes))
    if one.kind.published and not one.draft and _unpublished(current):
        notes.append("published")
    return Planned(one, "changed" if notes else "unchanged", (), ", ".join(notes))


def _model(one: DefinitionFile, document: dict[str, Any]) -> Definition | None:
    return one.kind.read(document)[0]


def _unpublished(current: dict[str, Any]) -> bool:
    return current["published_version"] is None or current["changed_since_published"]


def _comparable(
    theirs: Definition | None, ours: Definition | None, kept: dict[str, Any], given: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both in full, whatever way each is written down; drafts that can't be read, as they are."""
    if theirs is None or ours is None:
        return kept, given
    return theirs.document(), ours.document()


def _diff(one: DefinitionFile, before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    old = f"server{one.kind.path}/{one.name}" if before else "/dev/null"
    (old_rest, old_content), (new_rest, new_content) = _split(before), _split(after)
    yield from unified(old_rest, new_rest, old, one.place)
    body = one.body_place or f"{one.place} (content)"
    yield from unified(old_content, new_content, f"{old} (content)" if before else old, body)


def _split(document: dict[str, Any]) -> tuple[str, str]:
    """The document's text, and that of the script in it, as two files."""
    rest = {key: value for key, value in document.items() if key != "content"}
    return (write(rest) if rest else ""), str(document.get("content", ""))


def _refusals(connection: Connection, plan: list[Planned]) -> Iterator[Problem]:
    """What the server says beforehand, as far as the folder itself does not make it untrue."""
    models = [(one, _model(one.file, one.file.document)) for one in plan]
    libraries = {model.name: model for _, model in models if isinstance(model, Library)}
    folder = Catalogue(
        scripts=tuple(_facts(model) for _, model in models if isinstance(model, Script)),
        identities=tuple(IdentityFacts.of(0, model) for _, model in models if isinstance(model, Identity)),
    )
    moving = {(one.file.kind.name, one.file.name) for one in plan if one.change != "unchanged"}
    for one, model in models:
        if isinstance(model, Script) and one.change != "unchanged":
            yield from _unfit_libraries(connection, one.file, model, libraries)
        if isinstance(model, Workflow) and not one.file.draft:
            uses = {name for step, _ in walk(model.steps, "") for name in _named(step)}
            if one.change != "unchanged" or uses & moving:
                yield from _not_provable(connection, one.file, model, folder)


def _unfit_libraries(
    connection: Connection, file: DefinitionFile, script: Script, libraries: dict[str, Library]
) -> Iterator[Problem]:
    known: dict[str, Language | None] = {}
    for name in script.libraries:
        if name in libraries:
            known[name] = libraries[name].language
        elif (found := _found(connection, f"/libraries/{segment(name)}")) is not None:
            known[name] = None if found["archived"] else found["definition"]["language"]
    yield from map(file.at_fault, unfit_links(script, known))


def _not_provable(
    connection: Connection, file: DefinitionFile, workflow: Workflow, folder: Catalogue
) -> Iterator[Problem]:
    """The server's proof; where a step names a script or an identity of the folder, the proof against the
    folder's."""
    told = connection.post("/workflows/validate", file.document)["problems"]
    names = {("script", one.name) for one in folder.scripts or ()}
    names |= {("identity", one.name) for one in folder.identities or ()}
    ours = tuple(
        f"{where}/{part}"
        for step, where in walk(workflow.steps, "/steps")
        for kind, name in _named(step)
        if (kind, name) in names
        for part in _JUDGED[kind]
    )
    problems = [
        problem for problem in map(Problem.model_validate, told) if not problem.pointer.startswith(ours)
    ]
    problems += [problem for problem in prove(workflow, folder) if problem.pointer.startswith(ours)]
    yield from (file.at_fault(problem) for problem in problems if problem.severity == "error")


_JUDGED = {"script": ("script", "parameters"), "identity": ("identity", "duration_minutes")}
"""By what a step names: the fields that are judged by it."""


def _named(step: Step) -> Iterator[tuple[str, int | str]]:
    """Kind and name of each definition that a step names."""
    if isinstance(step, ScriptStep):
        yield "script", step.script
    if isinstance(step, PamCheckoutStep):
        yield "identity", step.identity


def _facts(script: Script) -> ScriptFacts:
    return ScriptFacts(0, script.name, script.parameters, script.language)
