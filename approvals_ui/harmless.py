"""Text from outside made fit to look at: terminal codes gone, hidden characters made visible.

HTML escaping is Jinja's and is not done here. Pure: no I/O, no HTML.
"""

import re
import unicodedata

ESCAPE_SEQUENCES = re.compile(
    r"""
      (?:\x1b\]|\x9d) [^\x07\x1b\x9c]* (?:\x07|\x1b\\|\x9c)?       # OSC: titles, links
    | (?:\x1b[PX^_]|[\x90\x98\x9e\x9f]) [^\x1b\x9c]* (?:\x1b\\|\x9c)?  # DCS, SOS, PM, APC
    | (?:\x1b\[|\x9b) [0-?]* [ -/]* [@-~]?                          # CSI: colours, cursor
    | \x1b [ -/]* [0-~]?                                            # two-character codes
    """,
    re.VERBOSE,
)
HIDDEN = {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}
"""Unicode categories that show as nothing, or that change the order of what is around them."""


def visible(text: object) -> str:
    """The text with every character that can't be seen shown as its code point.

    An approver must see what is approved: a right-to-left override or a zero-width character
    in a value would otherwise show something else than what runs.
    """
    return "".join(_shown(character) for character in str(text))


def _shown(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in HIDDEN:
        return character
    return f"⟨U+{ord(character):04X}⟩"


def terminal_text(text: str) -> str:
    """Output of a job as plain lines: no escape sequences, the last state of overwritten lines."""
    plain = ESCAPE_SEQUENCES.sub("", text).replace("\r\n", "\n")
    lines = (_overwritten(line) for line in plain.split("\n"))
    return visible("\n".join(lines))


def _overwritten(line: str) -> str:
    """What a terminal shows of a line in which carriage returns went back to its start."""
    parts = [part for part in line.split("\r") if part]
    return _without_backspaces(parts[-1]) if parts else ""


def _without_backspaces(line: str) -> str:
    kept: list[str] = []
    for character in line:
        if character != "\b":
            kept.append(character)
        elif kept:
            kept.pop()
    return "".join(kept)
