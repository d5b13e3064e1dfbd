"""Takes secret values out of what a job prints, before any of it is kept or sent.

Looked for are the value itself and its base64, hexadecimal, URL-encoded, JSON-escaped, shell-quoted and
UTF-16 forms (`forms`), in the bytes of one stream, wherever the reads cut it. Every byte that belongs to an
occurrence is taken out, overlapping ones too; a run of such bytes becomes one `***`.

A value of less than 4 bytes is not looked for: it would blot out ordinary output, and whoever sees
where it is missing knows it. Nor is a value found that a job has changed otherwise (reversed, hashed,
split over two streams): redaction catches mishaps, it does not hold a job that wants to tell.
Standard library only; it does no I/O.
"""

import base64
import json
from collections.abc import Collection, Iterable, Iterator
from urllib.parse import quote, quote_plus

MASK = b"***"
SHORTEST = 4
"""Bytes of a value that is looked for."""
_WRAPS = (64, 76)
"""Columns at which tools break base64."""
_LONG_LINE = 16
"""Characters from which a line of a value with several is looked for by itself."""
_LONGEST_IN_LINES = 8 * 1024
"""Bytes of a value whose lines are looked for one by one: more of them would take too long."""
_ANCHOR = 8
_UNESCAPED = ("", "/", "!~*'()", ";,/?:@&=+$!~*'()#")
"""What URL encoders leave as it is, beside letters, digits and `_.-~`."""


def forms(value: str) -> set[bytes]:
    """What to look for: the value as it may be printed. Empty for one that is too short."""
    found: set[bytes] = set()
    for text in {value, value.strip("\r\n")}:
        raw = text.encode("utf-8")
        if len(raw) >= SHORTEST:
            quoted = text.replace("'", "'\\''").encode("utf-8")  # as `set -x` shows it
            found |= {raw, quoted, *_lines(text), *_base64(raw), *_url(raw), *_json(text), *_hex(raw)}
            found |= _utf_16(text)
    return {form for form in found if len(form) >= SHORTEST}


def forms_of_all(values: Iterable[str]) -> set[bytes]:
    """The forms of several values."""
    return {form for value in values for form in forms(value)}


def _lines(text: str) -> Iterator[bytes]:
    """The long lines of a value that has several, such as a key: tools indent and number lines."""
    lines = [line.strip() for line in text.splitlines()]
    if len(lines) > 1 and len(text) <= _LONGEST_IN_LINES:
        yield from (line.encode("utf-8") for line in lines if len(line) >= _LONG_LINE)


def _base64(raw: bytes) -> Iterator[bytes]:
    """Encoded alone, broken into lines or not, and as part of something longer: what then stands before
    it shifts it by 0 to 2 bytes, and only the characters made of nothing but the value are the same."""
    whole = base64.b64encode(raw)
    plain = [whole]
    if len(raw) <= _LONGEST_IN_LINES:
        pieces = (whole[at : at + wrap] for wrap in _WRAPS for at in range(0, len(whole), wrap))
        plain += [piece for piece in pieces if len(piece) >= _LONG_LINE]
    for before in range(3):
        bits = 8 * before
        first, last = -(-bits // 6), (bits + 8 * len(raw)) // 6
        plain.append(base64.b64encode(bytes(before) + raw)[first:last])
    for text in plain:
        yield from (text, text.replace(b"+", b"-").replace(b"/", b"_"))


def _hex(raw: bytes) -> set[bytes]:
    return {raw.hex().encode(), raw.hex().upper().encode()}


def _utf_16(text: str) -> set[bytes]:
    """As Windows and PowerShell write it, also in what they encode."""
    found = {text.encode("utf-16-be")}
    little = text.encode("utf-16-le")
    return found | {little, *_base64(little), *_hex(little)}


def _url(raw: bytes) -> Iterator[bytes]:
    for text in (quote_plus(raw), *(quote(raw, safe=safe) for safe in _UNESCAPED)):
        yield text.encode("ascii")
        # Only the digits of escapes: the value's own letters stay as they are.
        pieces = text.split("%")
        yield "%".join([pieces[0], *(piece[:2].lower() + piece[2:] for piece in pieces[1:])]).encode("ascii")


def _json(text: str) -> Iterator[bytes]:
    for ascii_only in (True, False):
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        in_html = escaped.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
        for form in (escaped, escaped.replace("/", "\\/"), in_html):
            yield form.encode("utf-8")


class Redactor:
    """Takes the forms of secrets out of one stream. `feed` gives what is decided so far, `finish` the rest.

    Held back is only what may be the beginning of a form, so never more than the longest but one byte.
    The result does not depend on how the stream was cut into pieces.
    """

    def __init__(self, patterns: Collection[bytes], watched: Collection[bytes] = ()) -> None:
        """`watched` are taken out as the others are, and noted in `seen`."""
        self._patterns = sorted({*patterns, *watched})
        self._watched = frozenset(watched)
        self._held = b""
        self._covered = 0
        """So many of the first held bytes are known to belong to a secret."""
        self._in_run = False
        """The last byte given out belonged to a secret: its mask is written."""
        self.hits = 0
        """Masks written so far."""
        self.seen = False
        """Whether a watched one was among what they stand for."""

    def feed(self, data: bytes) -> bytes:
        """The next piece of the stream."""
        if not self._patterns:
            return data
        text = self._held + data
        return self._give(text, self._undecided(text))

    def finish(self) -> bytes:
        """The stream has ended: what was held back."""
        return self._give(self._held, len(self._held))

    def _give(self, text: bytes, decided: int) -> bytes:
        """The first `decided` bytes without secrets; the rest is held."""
        out: list[bytes] = []
        done = end_of_last = 0
        for start, end in [*self._spans(text), (len(text), len(text))]:
            plain_to = min(start, decided)
            if plain_to > done:
                out.append(text[done:plain_to])
                self._in_run = False
            if start <= decided:
                end_of_last = end
            if start >= decided:
                break
            if not self._in_run:
                out.append(MASK)
                self.hits += 1
                self._in_run = True
            done = min(end, decided)
        self._held, self._covered = text[decided:], max(0, end_of_last - decided)
        return b"".join(out)

    def _spans(self, text: bytes) -> list[tuple[int, int]]:
        """Where secrets stand, in order, those that touch each other joined."""
        found = [(0, self._covered)] if self._covered else []
        for pattern in self._patterns:
            at = text.find(pattern)
            while at >= 0:
                found.append((at, at + len(pattern)))
                self.seen |= pattern in self._watched
                at = text.find(pattern, at + 1)
        joined: list[tuple[int, int]] = []
        for start, end in sorted(found):
            if joined and start <= joined[-1][1]:
                joined[-1] = joined[-1][0], max(joined[-1][1], end)
            else:
                joined.append((start, end))
        return joined

    def _undecided(self, text: bytes) -> int:
        """Where the longest end of the text begins that may be the beginning of a form."""
        earliest = len(text)
        for pattern in self._patterns:
            for at in _candidates(text, pattern, earliest):
                if pattern.startswith(text[at:]):
                    earliest = at
                    break
        return earliest


def _candidates(text: bytes, pattern: bytes, before: int) -> Iterator[int]:
    """Where a beginning of the pattern may reach to the end of the text, the first such place first."""
    anchor = pattern[:_ANCHOR]
    first = max(0, len(text) - len(pattern) + 1)
    at = text.find(anchor, first)
    while 0 <= at < before:
        yield at
        at = text.find(anchor, at + 1)
    yield from range(max(first, len(text) - len(anchor) + 1), before)
