"""Definitions as text: how one is written, the same way each time, and how two differ.

What is written is read back and compared, so that a text never says something else than was meant.
"""

import difflib
import json
import re
from collections.abc import Iterator
from typing import Any, Literal

import yaml

from deployments.definition_files import parse_text

Format = Literal["yaml", "json"]

_FIRST = ("kind", "id", "name", "type", "title", "description", "draft", "language", "content_file")
_ODD = re.compile("[\r\x85\u2028\u2029\ufeff]")
_LAST = ("steps", "branches", "on_true", "on_false", "on_success", "on_failure")


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks."""

    block = "|"

    def ignore_aliases(self, data: object) -> bool:
        """No anchors: an equal value is written again."""
        return True


class _QuotingDumper(_Dumper):
    """Texts of several lines in quotes: for the few that a block can't hold."""

    block = '"'


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    style = dumper.block if "\n" in value else None
    if _ODD.search(value):
        style = '"'  # elsewhere the writer leaves them bare and the reader takes them for line ends
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
_QuotingDumper.add_representer(str, _text)


def write(document: dict[str, Any], format: Format = "yaml") -> str:
    """The document as a file holds it, its keys in an order of ours."""
    in_order = ordered(document)
    if format == "json":
        return json.dumps(in_order, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    for dumper in (_Dumper, _QuotingDumper):
        text: str = yaml.dump(in_order, Dumper=dumper, sort_keys=False, allow_unicode=True, width=2**20)
        if _reads_as(text, document):
            return text
    raise RuntimeError(f"the definition {document.get('name')!r} can't be written as YAML")


def _reads_as(text: str, document: dict[str, Any]) -> bool:
    # As JSON: for Python 1 == True.
    return json.dumps(parse_text(text, as_json=False), sort_keys=True) == json.dumps(document, sort_keys=True)


def ordered(value: Any) -> Any:
    """The same value, the keys of every object in the order in which people read them."""
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value, key=_rank)}
    return [ordered(inner) for inner in value] if isinstance(value, list | tuple) else value


def _rank(key: str) -> tuple[int, str]:
    if key in _FIRST:
        return _FIRST.index(key), ""
    return (200 + _LAST.index(key), "") if key in _LAST else (100, key)


def unified(before: str, after: str, old: str, new: str) -> Iterator[str]:
    """The lines of a unified diff; a carriage return is shown, a missing last line end is said."""
    lines = difflib.unified_diff(_lines(before), _lines(after), old, new)
    for line in lines:
        yield line.removesuffix("\n").replace("\r", "\N{SYMBOL FOR CARRIAGE RETURN}")
        if not line.endswith("\n"):
            yield "\\ No newline at end of file"


def _lines(text: str) -> list[str]:
    """With their ends. Only at newlines: `splitlines` also cuts at characters that are part of a line."""
    parts = text.split("\n")
    return [f"{part}\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
