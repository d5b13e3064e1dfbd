"""References `{{...}}` in a text: one regular grammar, found in one pass."""

import re
from functools import lru_cache
from typing import NamedTuple

REFERENCE = re.compile(r"\{\{[ \t]*(?:variables\.)?([A-Za-z_][A-Za-z0-9_-]*(?:\.[\w@:-]+)*)[ \t]*\}\}")
SUSPECT = re.compile(r"\{\{(?!\s*\.)[^{}\n]*(?:\}\}?)?")
STARTS_LIKE_ONE = re.compile(r"\{\{\s*(?:step_|inputs\b|instance\b|variables\b)")
RESERVED_ROOTS = ("inputs", "instance", "variables")


class Reference(NamedTuple):
    """One `{{...}}` in a text."""

    text: str
    """As written, braces and all."""
    path: tuple[str, ...]
    """Without `variables.`."""
    start: int
    end: int

    @property
    def root(self) -> str:
        """`inputs`, `instance`, `step_ID`, or the name of a checkout's variable."""
        return self.path[0]

    @property
    def step_id(self) -> str | None:
        """The step it speaks of, or None."""
        root = self.path[0]
        return root[5:] if root.startswith("step_") else None


@lru_cache(maxsize=64)  # a step's texts are looked at several times in a row
def references(text: str) -> tuple[Reference, ...]:
    """Every reference in a text, in order."""
    return tuple(
        Reference(match[0], tuple(match[1].split(".")), match.start(), match.end())
        for match in REFERENCE.finditer(text)
    )


def whole(text: str) -> Reference | None:
    """The one reference that a text is, with nothing around it; None if it is anything else."""
    found = references(text)
    return found[0] if len(found) == 1 and found[0].text == text else None


def malformed(text: str) -> tuple[str, ...]:
    """What looks like a reference and is none; `{{.Name}}`, which is Go's, may stand."""
    if text.count("{{") == len(references(text)):
        return ()
    return tuple(
        match[0]
        for match in SUSPECT.finditer(REFERENCE.sub(" ", text))
        if match[0].endswith("}}") or STARTS_LIKE_ONE.match(match[0])
    )
