"""The names of things people make: unique, shown in pages and addresses, never mistaken for an id."""

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from definitions.problems import Problem

Name = Annotated[str, Field(min_length=1, max_length=200)]
_ODD = re.compile(r"[/%&<>\\\x00-\x1f\x7f-\x9f\u2028\u2029]")


def check_name(document: dict[str, object]) -> list[Problem]:
    """What is wrong with the `name` of a document, beyond its being a text."""
    name = document.get("name")
    if not isinstance(name, str) or not name:
        return []
    if name != name.strip():
        return [_problem("The name begins or ends with a space.", "Remove the space.")]
    if _ODD.search(name):
        return [_problem("The name has a character that names can't have.", "Leave out / \\ % & < >.")]
    if name.isdigit():
        return [_problem("The name is a number and would be taken for an id.", "Add a letter.")]
    return []


def check_kind(document: dict[str, object], kind: str) -> list[Problem]:
    """A problem if the document says that it is of another kind."""
    if document.get("kind", kind) == kind:
        return []
    fix = f"Write `kind: {kind}`."
    return [Problem(pointer="/kind", code="wrong-kind", message=f"This is not a {kind}.", fix=fix)]


def _problem(message: str, fix: str) -> Problem:
    return Problem(pointer="/name", code="bad-name", message=message, fix=fix)


def listed(names: Sequence[str], most: int = 10) -> str:
    """Names in one sentence: all of them, or the first and how many more."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
