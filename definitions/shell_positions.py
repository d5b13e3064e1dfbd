"""Where in a command a value may stand as data: the rule both shells share.

A command comes with the spans of its references. Each is put in place of a value that lives in the
environment, so the shell only ever sees a variable's name; this says whether the shell would then
treat the value as one word of data. When unsure, refuse: the author can always use a script
parameter. The scanners (`bash_positions`, `powershell_positions`) know their shell's grammar.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

FIRST, LAST = 0xE000, 0xF8FF
"""Private-use characters stand for the references while a command is scanned."""
MARKS = f"{chr(FIRST)}-{chr(LAST)}"
"""All of them, for a regular expression's set."""
_MARK = re.compile(f"[{MARKS}]")


@dataclass(frozen=True)
class Place:
    """Where one reference stands."""

    kind: Literal["bare", "double", "refused"]
    reason: str = ""
    """With `refused`: where it stands, as the end of a sentence."""


BARE, DOUBLE = Place("bare"), Place("double")
UNCERTAIN = Place("refused", "where the shell's reading is not certain")


class RefuseAll(Exception):
    """No reference in this command is safe; the text says why, as the end of a sentence."""


def is_mark(char: str) -> bool:
    """Whether a character stands for a reference."""
    return FIRST <= ord(char) <= LAST


def has_mark(text: str) -> bool:
    """Whether any reference stands in a piece of the command."""
    return _MARK.search(text) is not None


@lru_cache(maxsize=4)  # both shells look at a command that names none
def mark(command: str, spans: tuple[tuple[int, int], ...]) -> str:
    """The command with one private-use character for each reference."""
    if has_mark(command):
        raise RefuseAll("in a command with private-use characters")
    if len(spans) > LAST - FIRST:
        raise RefuseAll(f"in a command with more than {LAST - FIRST} references")
    pieces: list[str] = []
    done = 0
    for number, (start, end) in enumerate(spans):
        pieces += [command[done:start], chr(FIRST + number)]
        done = end
    return "".join([*pieces, command[done:]])


class Places:
    """What a scanner has found so far."""

    def __init__(self, count: int) -> None:
        self._places: list[Place | None] = [None] * count

    def put(self, char: str, place: Place) -> None:
        """A reference was met; what is found out later may still refuse it."""
        self._places[ord(char) - FIRST] = place

    def refuse(self, text: str, reason: str) -> None:
        """Refuse every reference in a piece of the command."""
        for char in _MARK.findall(text):
            self._places[ord(char) - FIRST] = Place("refused", reason)

    def all(self, others: Place = UNCERTAIN) -> list[Place]:
        """One place for each reference; `others`: of those that no rule met."""
        return [place or others for place in self._places]
