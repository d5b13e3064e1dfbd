"""The head of a Python text: what the language wants first. Reads tokens, never the whole program.

A script may be written for another Python than ours: what comes after its head is not looked at.
"""

import re
import tokenize
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_COMMENT_OR_BLANK = re.compile(r"[ \t\f]*(?:#|[\r\n]|\Z)")
_FIRST = re.compile(r"#!|[ \t\f]*#.*?coding[:=][ \t]*[-\w.]+")
"""What counts only in the first two lines: the shebang, and the encoding."""
_LAID_ASIDE = {tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT}
_PLAIN_STRING = re.compile(r"[rRuU]?['\"]")
_REST_OF_LINE = re.compile(r"[ \t\f]*(?:(?:#[^\r\n]*)?(?:\r\n|\r|\n|\Z))?")


class _Statement(NamedTuple):
    words: list[str]
    start: int
    stop: int
    after: int
    """Where what follows it begins."""


def python_head(text: str) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Where the head ends, and its `from __future__` imports (from, to).

    The head: a byte order mark, shebang, encoding, docstring, `from __future__` imports. Without docstring
    and imports it ends before the first comment that is none of these.
    """
    begin = len(text) - len(text.removeprefix("\ufeff"))
    lines = _LINE.findall(text[begin:])
    end = begin + _first_lines(lines)
    imports: list[tuple[int, int]] = []
    for number, statement in enumerate(_statements(text, lines, begin)):
        if statement.words[:2] == ["from", "__future__"]:
            imports.append((statement.start, statement.stop))
        elif number > 0 or not _is_docstring(statement):
            break
        end = statement.after
    return end, tuple(imports)


def _first_lines(lines: Sequence[str]) -> int:
    end = at = 0
    for line in lines[:2]:
        if not _COMMENT_OR_BLANK.match(line):
            break
        at += len(line)
        if _FIRST.match(line):
            end = at
    return end


def _is_docstring(statement: _Statement) -> bool:
    strings = [word for word in statement.words if word not in ("(", ")")]
    return bool(strings) and all(_PLAIN_STRING.match(word) for word in strings)


def _statements(text: str, lines: Sequence[str], begin: int) -> Iterator[_Statement]:
    """The simple statements from the top on; ends where Python's own reading of the text breaks off."""
    starts = [begin]
    for line in lines:
        starts.append(starts[-1] + len(line))
    held: list[tokenize.TokenInfo] = []
    for token in _tokens(lines):
        ends = token.type == tokenize.NEWLINE or token.string == ";"
        if not ends and token.type not in _LAID_ASIDE:
            held.append(token)
        if not ends or not held:
            continue
        after = starts[token.end[0] - 1] + token.end[1]
        if token.type == tokenize.NEWLINE:
            after = starts[token.start[0]]
        else:
            rest = _REST_OF_LINE.match(text, after)
            assert rest is not None
            after = rest.end()
        yield _Statement(
            [each.string for each in held],
            starts[held[0].start[0] - 1] + held[0].start[1],
            starts[held[-1].end[0] - 1] + held[-1].end[1],
            after,
        )
        held = []


def _tokens(lines: Sequence[str]) -> Iterator[tokenize.TokenInfo]:
    # Python ends lines at a lone carriage return too; its tokenizer, given lines, does not.
    unix = (line.rstrip("\r\n") + "\n" if line[-1] in "\r\n" else line for line in lines)
    try:
        yield from tokenize.generate_tokens(lambda: next(unix, ""))
    except (tokenize.TokenError, SyntaxError):
        return
