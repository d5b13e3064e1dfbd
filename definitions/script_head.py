"""What must stay first in a script's text, and so where its libraries go. Says it; moves nothing.

One reader a language: Bash here, the others in `python_head` and `powershell_head`.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from definitions.powershell_head import powershell_head
from definitions.python_head import python_head
from definitions.script import Language


class Head(NamedTuple):
    """The beginning of a text that has to stay its beginning. Offsets count characters."""

    top: int
    """Where the statements end that nothing may come before."""
    end: int
    """Where libraries go: `top`, or after the parameters that follow it."""
    movable: tuple[tuple[int, int], ...] = ()
    """The statements (from, to) that have to move to the top when the text is put after another."""
    blocks: bool = False
    """Whether the body is made of named blocks, between which nothing can stand (PowerShell)."""


_SHEBANG = re.compile(r"#![^\n]*\n?")


def _bash(text: str) -> Head:
    shebang = _SHEBANG.match(text)
    end = shebang.end() if shebang else 0
    return Head(end, end)


def _python(text: str) -> Head:
    end, movable = python_head(text)
    return Head(end, end, movable)


def _powershell(text: str) -> Head:
    return Head(*powershell_head(text))


HEADS: Mapping[Language, Callable[[str], Head]] = {
    "bash": _bash,
    "python": _python,
    "powershell": _powershell,
}
"""The reader of each language's head."""
