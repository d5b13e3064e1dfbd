"""Where the references of a PowerShell command stand: a scanner of the part that is certain.

PowerShell passes `$env:NAME` as one argument without splitting it, and reads no value as code by
itself. What does (`Invoke-Expression`, another shell, the call operator on a variable) refuses every
reference; so do here-strings, sub-expressions in quotes, and the typographic quotes it also accepts.
"""

import re

from definitions.shell_positions import BARE, DOUBLE, MARKS, Place, Places, RefuseAll, has_mark, is_mark, mark

EVALUATORS = re.compile(
    r"(?<![\w-])(invoke-expression|iex|invoke-command|icm|scriptblock|executioncontext|invokescript|addscript|"
    r"expandstring|newscriptblock|add-type|start-job|start-threadjob|register-\w+|set-psbreakpoint|set-alias|sal|"
    r"new-alias|nal|new-item|ni|set-item|si|set-content\s+function:|foreach-object\s+-|using|"
    r"invoke-wmimethod|invoke-cimmethod|new-object|import-module|ipmo|start-process|saps|start|"
    r"powershell(\.exe)?|pwsh(\.exe)?|cmd(\.exe)?|bash|sh|wsl|python3?|perl|ruby|node|ssh|sqlcmd|"
    r"wscript|cscript|mshta|rundll32)(?![\w-])",
    re.IGNORECASE,
)
ODD_QUOTES = re.compile("[\u2018-\u201f]")
CALL = re.compile(r"(?:^|(?<=[\s;|({}=])|(?<=&&))[&.]\s*(?=[^\w\s./\\~:&-]|[\"'$(])")
METHODS = re.compile(r"::|\.\s*(?:invoke\w*|create)\b", re.IGNORECASE)
QUOTES = re.compile(r"[\"']")
TELLING = re.compile(rf"['\"`#{MARKS}]")
TELLING_QUOTED = re.compile(rf"[\"`${MARKS}]")
"""What the scanner stops at, outside double quotes and inside; all else changes nothing."""
ENDS_BARE = " \t\r\n;|)},"
BEGINS_BARE = " \t\r\n;|({,="
NOTHING_QUOTED = re.compile(rf"(?:[^'\"`#{MARKS}]|(?<![^{BEGINS_BARE}])[{MARKS}](?![^{ENDS_BARE}]))*+")
"""Every reference is a word, and nothing would tell the scanner more."""


def powershell_positions(command: str, spans: tuple[tuple[int, int], ...]) -> list[Place]:
    """One place for every reference; `spans` are in order and do not overlap."""
    try:
        marked = mark(command, spans)
        _refuse_evaluators(marked)
        if NOTHING_QUOTED.fullmatch(marked):
            return [BARE] * len(spans)
        scanner = _Scanner(marked, len(spans))
        scanner.scan()
    except RefuseAll as refusal:
        return [Place("refused", str(refusal))] * len(spans)
    return scanner.places.all()


def _refuse_evaluators(text: str) -> None:
    plain = text.replace("`", "")
    bare = QUOTES.sub("", plain)
    found = EVALUATORS.search(plain) or (EVALUATORS.search(bare) if bare != plain else None)
    if found is not None:
        raise RefuseAll(f"in a command with `{found[1]}`, which may read text as code")
    if ODD_QUOTES.search(text):
        raise RefuseAll("in a command with typographic quotes, which PowerShell takes for quotes")
    if "@'" in text or '@"' in text:
        raise RefuseAll("in a command with a here-string")
    if "--%" in text:
        raise RefuseAll("in a command with `--%`, which stops PowerShell's reading")
    if CALL.search(text):
        raise RefuseAll("in a command that calls what a variable or an expression names")
    if METHODS.search(text):
        raise RefuseAll("in a command that calls .NET methods")


class _Scanner:
    def __init__(self, text: str, count: int) -> None:
        self.text = text
        self.at = 0
        self.places = Places(count)

    def scan(self) -> None:
        while (found := TELLING.search(self.text, self.at)) is not None:
            self.at, char = found.start(), found[0]
            if char == "'":
                self._single()
            elif char == '"':
                self._double()
            elif char == "`":
                self._escape()
            elif char == "#":
                self._comment()
            else:
                self._bare(char)
                self.at += 1

    def _bare(self, char: str) -> None:
        before = self.text[self.at - 1 : self.at]
        after = self.text[self.at + 1 : self.at + 2]
        if (before == "" or before in BEGINS_BARE) and (after == "" or after in ENDS_BARE):
            self.places.put(char, BARE)
        else:
            self.places.refuse(char, "right beside other text (put the whole word in double quotes)")

    def _escape(self) -> None:
        self.places.refuse(self.text[self.at + 1 : self.at + 2], "after a backtick")
        self.at += 2

    def _comment(self) -> None:
        if self.text[self.at - 1 : self.at] == "<":
            raise RefuseAll("in a command with a block comment")
        end = self.text.find("\n", self.at)
        end = len(self.text) if end < 0 else end
        self.places.refuse(self.text[self.at : end], "in a comment")
        self.at = end

    def _single(self) -> None:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise RefuseAll("in a command whose quotes do not close")
        self.places.refuse(self.text[self.at : end], "in single quotes, where no variable is read")
        self.at = end + 1

    def _double(self) -> None:
        self.at += 1
        while (found := TELLING_QUOTED.search(self.text, self.at)) is not None:
            self.at, char = found.start(), found[0]
            following = self.text[self.at + 1 : self.at + 2]
            if char == '"':
                self.at += 1
                return
            if char == "`":
                self._escape()
                continue
            if char == "$" and (following == "(" or following == "{" or has_mark(following)):
                raise RefuseAll("in a command with an expression inside quotes")
            if is_mark(char):
                self.places.put(char, DOUBLE)
            self.at += 1
        raise RefuseAll("in a command whose quotes do not close")
