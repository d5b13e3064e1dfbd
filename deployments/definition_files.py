"""Definition files on disk: YAML or JSON, one object a file, `kind` says which.

Reads and confines; does not judge what a definition says (that is `definitions`). YAML is read with
the safe loader, and duplicate keys are refused because the last one would win in silence.
"""

import json
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from definitions.errors import Invalid
from definitions.parameters import LARGEST_INTEGER
from definitions.problems import Problem
from definitions.reading import MAX_DEPTH
from deployments.definition_kinds import KINDS, Kind

_SIZE_LIMIT = 4 * 1024 * 1024
"""As much as the server takes in a request."""
_MOST_VALUES = 200_000
_SUFFIXES = {".yaml", ".yml", ".json"}


@dataclass(frozen=True)
class DefinitionFile:
    """One file and the object in it: `kind` and `draft` taken out, `content_file` read."""

    place: str
    """The file, seen from the folder that was read."""
    kind: Kind
    document: dict[str, Any]
    draft: bool = False
    """A workflow that shall be saved and not published."""
    body_place: str | None = None
    """The file of `content_file`."""

    @property
    def name(self) -> str:
        """The definition's name; empty if it has none."""
        name = self.document.get("name")
        return name if isinstance(name, str) else ""

    def at_fault(self, problem: Problem) -> Problem:
        """The problem, saying in which file it is."""
        return problem.model_copy(update={"message": f"{self.place}: {problem.message}"})


@dataclass
class Folder:
    """What could be read of a folder, in the order to apply it, and what is wrong with the rest."""

    files: list[DefinitionFile] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class _Loader(yaml.SafeLoader):
    """The safe loader, refusing a key that is given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping whose keys are all different."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            if isinstance(key, Hashable):
                seen.add(key)
        return super().construct_mapping(node, deep)


def load(path: Path) -> object:
    """What the file holds; `Invalid` with line and column when it can't be read."""
    return _load(path, path.name)


def _load(path: Path, place: str) -> object:
    try:
        return _as_kept(parse_text(_read(path, place), as_json=path.suffix == ".json"))
    except ValueError as error:
        fix = "Mend the file's YAML or JSON at that place."
        raise _refused(place, "not-readable", str(error), fix) from error


def _as_kept(value: object, depth: int = 0) -> object:
    """The same value; of a number like 1e17 the integer, as which the server's database gives it back.

    What is nested deeper than a definition can be is left alone: that is refused by who judges it.
    """
    if depth > MAX_DEPTH:
        return value
    if isinstance(value, dict):
        return {key: _as_kept(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_kept(inner, depth + 1) for inner in value]
    if isinstance(value, float) and _WRITTEN_OUT_FROM <= abs(value) <= LARGEST_INTEGER:
        return int(value)
    return value


_WRITTEN_OUT_FROM = 1e16
"""Below, a float is written with its `.0`, and stays one."""


def parse_text(text: str, *, as_json: bool) -> object:
    """What a definition's text holds; ValueError says why it can't be read."""
    try:
        found = json.loads(text.removeprefix("\ufeff")) if as_json else yaml.load(text, _Loader)  # noqa: S506
        _refuse_unfolding(found)
        return found
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(" ".join(str(error).split())) from error


def read_folder(folder: Path) -> Folder:
    """Every definition below a folder, those that others name first, and every problem of reading them."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix in _SUFFIXES and p.is_file())
    if not paths:
        raise Invalid(f"{folder} holds no .yaml or .json file.")
    found = Folder()
    for path in paths:
        place = path.relative_to(folder).as_posix()
        try:
            found.files.append(_definition(path, place, folder))
        except Invalid as error:
            found.problems += error.problems
    found.problems += _repeated_names(found.files)
    order = list(KINDS)
    found.files.sort(key=lambda one: (order.index(one.kind.name), one.place))
    return found


def _definition(path: Path, place: str, folder: Path) -> DefinitionFile:
    document = _load(path, place)
    kind = document.get("kind") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(kind, str) or kind not in KINDS:
        fix = f"One of {', '.join(KINDS)}."
        raise _refused(place, "unknown-kind", f"The kind is {kind!r}.", fix, "/kind")
    rest = {key: value for key, value in document.items() if key != "kind"}
    draft = rest.pop("draft", False) if KINDS[kind].published else False
    if not isinstance(draft, bool):
        fix = "Write true or false, without quotes."
        raise _refused(place, "wrong-type", "`draft` must be true or false.", fix, "/draft")
    body = None
    if "content_file" in rest:
        file = _body(path, place, rest, folder)
        rest["content"] = _read(file, place, "/content_file")
        del rest["content_file"]
        body = file.relative_to(folder.resolve()).as_posix()
    return DefinitionFile(place, KINDS[kind], rest, draft, body)


def _body(path: Path, place: str, document: dict[str, Any], folder: Path) -> Path:
    """The body's file: never outside the folder that is applied, not by a link either."""
    named = document["content_file"]
    if "content" in document:
        said, fix = "Both content and content_file are given.", "Keep one."
    elif not isinstance(named, str) or not named or "\0" in named:
        said, fix = "content_file must be the name of a file.", "Write it in quotes."
    else:
        file = (path.parent / named).resolve()
        if file.is_relative_to(folder.resolve()):
            return file
        said, fix = f"content_file points outside {folder}.", "Put the file into the folder."
    raise _refused(place, "bad-content-file", said, fix, "/content_file")


def _read(path: Path, place: str, pointer: str = "") -> str:
    """The text as it is: a script's line ends are part of it."""
    try:
        if path.stat().st_size > _SIZE_LIMIT:
            said, fix = f"{path.name} is larger than {_SIZE_LIMIT // 1024} KiB.", "Make it smaller."
        else:
            return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        said = f"{path.name} is not UTF-8 ({error.reason} at byte {error.start})."
        fix = "Save it as UTF-8."
    except OSError as error:
        said, fix = f"{path.name} can't be read: {error.strerror}.", "Write it, or name another."
    raise _refused(place, "not-readable", said, fix, pointer)


def _refuse_unfolding(document: object) -> None:
    """Raises ValueError when YAML's aliases make a small file unfold without end, or nearly so."""
    left, count = [document], 0
    while left:
        value = left.pop()
        count += 1
        if count > _MOST_VALUES:
            raise ValueError(f"it unfolds to more than {_MOST_VALUES} values")
        if isinstance(value, dict):
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)


def _repeated_names(found: list[DefinitionFile]) -> Iterator[Problem]:
    first: dict[tuple[str, str], str] = {}
    for one in found:
        other = first.setdefault((one.kind.name, one.name), one.place)
        if one.name and other != one.place:
            said = f"{other} defines the {one.kind.name} {one.name!r} too."
            yield one.at_fault(_problem("duplicate-name", said, "Keep one, or rename one.", "/name"))


def _problem(code: str, said: str, fix: str, pointer: str) -> Problem:
    return Problem(pointer=pointer, code=code, message=said, fix=fix)


def _refused(place: str, code: str, said: str, fix: str, pointer: str = "") -> Invalid:
    return Invalid(f"{place} can't be used.", [_problem(code, f"{place}: {said}", fix, pointer)])
