"""Text from outside made fit to look at: terminal codes gone, hidden characters made visible.

The one such rule, for pages, Prefect's forms and command line alike. HTML escaping is Jinja's and is not
done here.
Pure: no I/O, no HTML.
"""

import re
import unicodedata

ESCAPE_SEQUENCES = re.compile(
    r"""
      (?:\x1b\]|\x9d) [^\x07\x1b\x9c\n]* (?:\x07|\x1b\\|\x9c)?       # OSC: titles, links
    | (?:\x1b[PX^_]|[\x90\x98\x9e\x9f]) [^\x1b\x9c\n]* (?:\x1b\\|\x9c)?  # DCS, SOS, PM, APC
    | (?:\x1b\[|\x9b) [0-?]* [ -/]* [@-~]?                          # CSI: colours, cursor
    | \x1b [ -/]* [0-~]?                                            # two-character codes
    """,
    re.VERBOSE,
)
"""None reaches over the end of a line: what is printed can't hide the lines that follow."""

_UNFINISHED = re.compile(
    r"""(?: (?:\x1b\]|\x9d) [^\x07\x1b\x9c\n]* \x1b?
    | (?:\x1b[PX^_]|[\x90\x98\x9e\x9f]) [^\x1b\x9c\n]* \x1b?
    | (?:\x1b\[|\x9b) [0-?]* [ -/]*
    | \x1b [ -/]*
    | \r
    ) \Z""",
    re.VERBOSE,
)
"""A code that more text may still belong to. A carriage return may be the first half of a line's end."""

_MOST_HELD = 4096
"""Characters kept back for a code to end; one that is longer is shown as text."""

HIDDEN = {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}
"""Unicode categories that show as nothing, or that change the order of what is around them."""


def visible(text: object) -> str:
    """The text with every character that can't be seen shown as its code point.

    An approver must see what is approved: a right-to-left override or a zero-width character
    in a value would otherwise show something else than what runs.
    """
    return str(text).translate(_SHOWN)


class _Shown(dict[int, str]):
    """Each character as it is shown; only the usual ones are kept."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character not in "\n\t" and unicodedata.category(character) in HIDDEN:
            character = f"⟨U+{code:04X}⟩"
        if code < _USUAL:
            self[code] = character
        return character


_USUAL = 0x2100
_SHOWN = _Shown()


_MARKDOWN = str.maketrans({character: "\\" + character for character in "\\`*_{}[]<>()#+!|~&"})


_LINK = re.compile(r":(?=//)|(?<=www)(?=\.)|@|\](?=\()", re.IGNORECASE)
"""Where an address becomes a link, also without being written as one. No escape keeps Markdown's renderers
from that: they look for addresses in the text that is left when escapes are resolved."""

_JOINER = "\u2060"
"""Shows as nothing, and no address goes on behind it."""


def unlinked(text: str) -> str:
    """The text, looking the same, of which nothing becomes a link or a mention wherever it is shown."""
    return _LINK.sub(lambda found: found[0] + _JOINER, text)


def markdown(text: object) -> str:
    """The text as one line of Markdown that shows it as it is, and that nobody can click."""
    return unlinked(" ".join(visible(text).translate(_MARKDOWN).split()))


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


class TerminalText:
    """`terminal_text` for text that comes piece by piece, and that is shown as it comes.

    What is shown can't be taken back: where a line is overwritten later, the new text stands on a
    line of its own.
    """

    def __init__(self) -> None:
        self._held = ""
        self._in_line = False

    def feed(self, text: str) -> str:
        """What can be shown now."""
        text = self._held + text
        unfinished = _UNFINISHED.search(text, max(0, len(text) - _MOST_HELD))
        end = unfinished.start() if unfinished else len(text)
        self._held = text[end:]
        return self._next(text[:end])

    def finish(self) -> str:
        """The rest: no more will come."""
        rest, self._held = self._held, ""
        return self._next(rest)

    def _next(self, text: str) -> str:
        plain = ESCAPE_SEQUENCES.sub("", text).replace("\r\n", "\n")
        first, *others = plain.split("\n")
        shown = _overwritten(first)
        if self._in_line and "\r" in first and shown:
            shown = f"\n{shown}"
        if others:
            self._in_line = False
        lines = [shown, *(_overwritten(line) for line in others)]
        self._in_line = self._in_line or bool(lines[-1])
        return visible("\n".join(lines))
