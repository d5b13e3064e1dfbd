"""Definition files on disk: YAML or JSON, one object a file, `kind` says which.

Reads and confines; does not judge what a definition says (that is `definitions`). YAML is read with
the safe loader, and duplicate keys are refused because the last one would win in silence.
"""

import json
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from definitions.errors import Invalid
from definitions.problems import Problem

KINDS = ("script", "library", "workflow")
"""The kinds that can be applied, in the order in which they must be."""

_SIZE_LIMIT = 2 * 1024 * 1024
_MOST_VALUES = 200_000
_SUFFIXES = {".yaml", ".yml", ".json"}


@dataclass(frozen=True)
class DefinitionFile:
    """One file and the object in it, `content_file` already read."""

    path: Path
    kind: str
    document: dict[str, Any]


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
    text = _read(path)
    try:
        found = json.loads(text) if path.suffix == ".json" else yaml.load(text, _Loader)  # noqa: S506 - safe
        _refuse_unfolding(found)
        return found
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        problem = Problem(
            pointer="",
            code="not-readable",
            message=f"{path.name}: {' '.join(str(error).split())}",
            fix="Mend the file's YAML or JSON at that place.",
        )
        raise Invalid(f"{path} can't be read.", [problem]) from error


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


def load_folder(folder: Path) -> list[DefinitionFile]:
    """Every definition below a folder, scripts before the workflows that use them."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix in _SUFFIXES and p.is_file())
    if not paths:
        raise Invalid(f"{folder} holds no .yaml or .json file.")
    found: list[DefinitionFile] = []
    refused: list[Invalid] = []
    for path in paths:
        try:
            found.append(_definition(path, folder))
        except Invalid as error:
            refused.append(error)
    if refused:
        told = [problem for error in refused for problem in error.problems]
        raise Invalid(" ".join(error.message for error in refused), told)
    _refuse_repeated_names(found)
    return sorted(found, key=lambda one: (KINDS.index(one.kind), str(one.path)))


def _definition(path: Path, folder: Path) -> DefinitionFile:
    document = load(path)
    kind = document.get("kind") if isinstance(document, dict) else None
    if not isinstance(document, dict) or kind not in KINDS:
        problem = Problem(
            pointer="/kind",
            code="unknown-kind",
            message=f"{path.name} has the kind {kind!r}.",
            fix=f"One of {', '.join(KINDS)}.",
        )
        raise Invalid(f"{path} is no definition that can be applied.", [problem])
    rest = {key: value for key, value in document.items() if key != "kind"}
    if "content_file" in rest:
        rest["content"] = _content(path, rest, folder)
        del rest["content_file"]
    return DefinitionFile(path, str(kind), rest)


def _content(path: Path, document: dict[str, Any], folder: Path) -> str:
    """The script body beside the file: never outside the folder that is applied, not by a link either."""
    if "content" in document:
        raise Invalid(f"{path} gives both content and content_file; keep one.")
    body = (path.parent / str(document["content_file"])).resolve()
    if not body.is_relative_to(folder.resolve()):
        raise Invalid(f"{path}: content_file points outside {folder}.")
    return _read(body)


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _SIZE_LIMIT:
            raise Invalid(f"{path} is larger than {_SIZE_LIMIT // 1024} KiB.")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Invalid(f"There is no file {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} can't be read: {error}") from error


def _refuse_repeated_names(found: list[DefinitionFile]) -> None:
    first: dict[tuple[str, str], Path] = {}
    for one in found:
        key = (one.kind, str(one.document.get("name")))
        if key in first:
            raise Invalid(f"{one.path} and {first[key]} both define the {one.kind} {key[1]!r}.")
        first[key] = one.path
