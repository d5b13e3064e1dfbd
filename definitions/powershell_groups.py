"""Where a bracket of PowerShell closes and where a statement ends, strings and comments passed over.

One loop with a stack of what is open: nesting costs no recursion. Typographic quotes are quotes, as
PowerShell has it.
"""

import re

_CLOSES = {"(": ")", "[": "]", "{": "}"}
_SINGLE = "'\u2018\u2019\u201a\u201b"
_DOUBLE = '"\u201c\u201d\u201e'
_PLAIN = re.compile(rf"[^()\[\]{{}}{_SINGLE}{_DOUBLE}`#<@\s;]++")
_SINGLE_QUOTED = re.compile(rf"[{_SINGLE}](?:[^{_SINGLE}]|[{_SINGLE}]{{2}})*+[{_SINGLE}]")
_HERE = re.compile(rf"@([{_SINGLE}{_DOUBLE}])[ \t]*\r?\n")
_SINGLE_HERE_ENDS = re.compile(rf"(?<=\n)[{_SINGLE}]@")
_COMMENT = re.compile(r"<#.*?#>|#[^\r\n]*+", re.DOTALL)
_IN_QUOTES = re.compile(rf"[^{_DOUBLE}`$]++|`.|\$\(|\$|[{_DOUBLE}]{{1,2}}", re.DOTALL)
_IN_HERE = re.compile(rf"`.|\$\(|\n[{_DOUBLE}]@", re.DOTALL)


def after_group(text: str, at: int) -> int | None:
    """The offset after the bracket that closes the one at `at`; None when it never closes."""
    scanner = _Scanner(text, at)
    while scanner.step():
        if not scanner.open:
            return scanner.at
    return None


def end_of_statement(text: str, at: int) -> int:
    """Where the statement ends: before a line's end, a semicolon or a comment outside of all brackets."""
    scanner = _Scanner(text, at)
    while scanner.open or not _ends_here(text, scanner.at):
        if not scanner.step():
            break
    return scanner.at


def _ends_here(text: str, at: int) -> bool:
    here = text[at : at + 1]
    return here in ("\r", "\n", ";") or (here == "#" and text[at - 1].isspace())


class _Scanner:
    def __init__(self, text: str, at: int) -> None:
        self.text = text
        self.at = at
        self.open: list[str] = []
        """What closes each thing that is open; `"` and `@` for texts in which `$(` opens code."""

    def step(self) -> bool:
        """Pass one thing over; False at the end, and where the brackets can't be understood."""
        inside = self.open[-1] if self.open else ""
        if inside == '"':
            return self._in_quotes()
        return self._in_here() if inside == "@" else self._in_code()

    def _in_quotes(self) -> bool:
        found = _IN_QUOTES.match(self.text, self.at)
        if found is None:
            return False
        self.at = found.end()
        if found[0] == "$(":
            self.open.append(")")
        elif len(found[0]) == 1 and found[0] in _DOUBLE:
            self.open.pop()
        return True

    def _in_here(self) -> bool:
        found = _IN_HERE.search(self.text, self.at)
        if found is None:
            return False
        self.at = found.end()
        if found[0] == "$(":
            self.open.append(")")
        elif found[0].startswith("\n"):
            self.open.pop()
        return True

    def _in_code(self) -> bool:
        char = self.text[self.at : self.at + 1]
        here = _HERE.match(self.text, self.at)
        if char == "" or char in ")]}":
            return self._closes(char)
        if here is not None and here[1] in _DOUBLE:
            self.open.append("@")
            self.at = here.end() - 1
        elif here is not None:
            return self._pass(_SINGLE_HERE_ENDS.search(self.text, here.end()))
        elif char in _CLOSES:
            self.open.append(_CLOSES[char])
            self.at += 1
        elif char in _DOUBLE:
            self.open.append('"')
            self.at += 1
        elif char in _SINGLE:
            return self._pass(_SINGLE_QUOTED.match(self.text, self.at))
        else:
            found = _COMMENT.match(self.text, self.at) or _PLAIN.match(self.text, self.at)
            step = 2 if char == "`" else 1
            self.at = found.end() if found else min(self.at + step, len(self.text))
        return True

    def _closes(self, char: str) -> bool:
        if not char or not self.open or self.open.pop() != char:
            return False
        self.at += 1
        return True

    def _pass(self, found: re.Match[str] | None) -> bool:
        if found is None:
            return False
        self.at = found.end()
        return True
