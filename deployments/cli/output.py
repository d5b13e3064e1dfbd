"""How the command line prints: tables and facts for people, JSON for programs.

Text of users and hosts is printed as it is, never as markup, and made harmless (definitions.harmless).
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from cyclopts import Parameter

from definitions.harmless import visible

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]
Hosts = Annotated[
    list[str], Parameter(name="--host", negative="", help="A host, tag:NAME or group:NAME; repeatable.")
]
Limit = Annotated[int, Parameter(help="At most this many.")]


def print_json(value: object) -> None:
    """One JSON document."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """A list of things, one a line."""
    found = list(rows)
    if as_json:
        print_json(found)
        return
    if not found:
        print("Nothing here.")
        return
    print_table(
        [column.replace("_", " ") for column in columns], [[row.get(c) for c in columns] for row in found]
    )


def print_table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A plain table; cells are wrapped to the width of the terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def print_facts(thing: Mapping[str, Any], *, as_json: bool, leave_out: Sequence[str] = ()) -> None:
    """One thing, a fact a line."""
    if as_json:
        print_json(thing)
        return
    shown = {name: value for name, value in thing.items() if name not in leave_out}
    width = max(len(name) for name in shown)
    for name, value in shown.items():
        print(f"{name.replace('_', ' '):<{width}}  {cell(value)}")


def cell(value: object) -> str:
    """A value as a person reads it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return _moment(value) or visible(value)
    if isinstance(value, list):
        return ", ".join(cell(entry) for entry in value)
    if isinstance(value, dict):
        if "name" in value and set(value) <= {"id", "name", "version"}:
            version = f" version {value['version']}" if "version" in value else ""
            return visible(f"{value['name']}{version}")
        return ", ".join(f"{visible(str(name))}={cell(entry)}" for name, entry in value.items())
    return str(value)


def _moment(text: str) -> str | None:
    if len(text) < 19 or text[10:11] != "T":
        return None
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return None
