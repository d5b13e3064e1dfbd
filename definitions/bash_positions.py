"""Where the references of a Bash command stand: a scanner of the part of Bash that is certain.

It follows quotes, substitutions and simple commands. Anything that makes Bash read a *value* as
code refuses every reference, since a value can flow there through a variable or a pipe: `eval`,
`bash -c`, arithmetic, number tests in `[[ ]]`, indirect expansion. So do backticks and heredocs,
whose quoting rules change by context.
"""

import re

from definitions import bash_commands
from definitions.shell_positions import BARE, DOUBLE, MARKS, Place, Places, RefuseAll, has_mark, is_mark, mark

BLANK = " \t"
OPERATORS = ";&|()<>\n"
EXPANSION = re.compile(
    r"\$\{(?:#?[A-Za-z_][A-Za-z0-9_]*(?:\[(?:@|\*|[0-9]+)\])?|[0-9@*#?])"
    r"(?:(?::?[-=?+]|##?|%%?|//?|\^\^?|,,?)[A-Za-z0-9_./:,@%+ =*?-]*)?\}"
)
"""The parameter expansions that read no value as code, an index or a name."""
SUBSCRIPT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\[(?:(?![0-9]+\]).*\]\+?=|[^\]]*\Z)", re.DOTALL)
"""An assignment to a computed element, or what may be the start of one."""
ELEMENT = re.compile(r"\[(?![0-9]+\]\+?=)")
"""In `name=( )`: an element with a computed index."""
MAX_NESTING = 50
PLAIN = re.compile(rf"[^\\`$\"{MARKS}' \t;&|()<>\n]+")
PLAIN_QUOTED = re.compile(rf"[^\\`$\"{MARKS}]+")
"""Text that means itself: outside double quotes, and inside."""
WORDS_ALONE = re.compile(r"[^\\`$\"';&|()<>\n\[#]*")
"""One simple command with nothing quoted: the scanner would find its words, and every reference bare."""
WORD = re.compile(rf"[^{BLANK}]+")


def bash_positions(command: str, spans: tuple[tuple[int, int], ...]) -> list[Place]:
    """One place for every reference; `spans` are in order and do not overlap."""
    try:
        marked = mark(command, spans)
        scanner = _Scanner(marked, len(spans))
        if WORDS_ALONE.fullmatch(marked):
            bash_commands.inspect(WORD.findall(marked), scanner.places, in_test=False, nested=False)
            return scanner.places.all(BARE)
        scanner.commands(closing="", nesting=0)
    except RefuseAll as refusal:
        return [Place("refused", str(refusal))] * len(spans)
    return scanner.places.all()


class _Scanner:
    def __init__(self, text: str, count: int) -> None:
        self.text = text
        self.at = 0
        self.places = Places(count)
        self.in_test = False

    def looking_at(self, piece: str) -> bool:
        return self.text.startswith(piece, self.at)

    def commands(self, closing: str, nesting: int) -> None:
        """Read commands until the closing parenthesis, or to the end."""
        if nesting > MAX_NESTING:
            raise RefuseAll("in a command that is nested too deep to follow")
        words: list[str] = []
        redirected = False
        opened = 0
        subshells = False
        elements = 0  # how many parentheses were open when `name=(` began
        while self.at < len(self.text):
            char = self.text[self.at]
            if char in BLANK:
                self.at += 1
            elif char == "\\" and self.looking_at("\\\n"):
                self.at += 2
            elif char == "#":
                self._comment()
            elif char in "<>" and self.at + 1 < len(self.text):
                start = self.at
                redirected = self._redirection(nesting)
                if self.text[start + 1] == "(":  # a process substitution is a word
                    words.append(self.text[start : self.at])
            elif char in OPERATORS:
                # Outside of any other parentheses a closing one ends a pattern of `case`, no command.
                if char != ")" or closing or subshells:
                    self._end(words, nesting)
                words = []
                redirected = False
                self.at += 1
                if char == "(":
                    if self.looking_at("("):
                        raise RefuseAll("in a command with arithmetic `(( ))`, which reads values as code")
                    opened += 1
                    subshells = True
                    if self.text[self.at - 2 : self.at - 1] == "=":
                        elements = elements or opened
                elif char == ")":
                    if opened == 0 and closing:
                        return
                    opened = max(0, opened - 1)
                    elements = elements if opened >= elements else 0
            else:
                word = self._word(nesting)
                if elements and ELEMENT.match(word):
                    raise RefuseAll("in a command with a computed array index, which Bash reads as code")
                if redirected:
                    redirected = False
                else:
                    words.append(word)
        if closing:
            raise RefuseAll("in a command whose parentheses do not close")
        self._end(words, nesting)

    def _end(self, words: list[str], nesting: int) -> None:
        """A simple command is complete."""
        self.in_test = bash_commands.inspect(words, self.places, self.in_test, nesting > 0)

    def _comment(self) -> None:
        end = self.text.find("\n", self.at)
        end = len(self.text) if end < 0 else end
        self.places.refuse(self.text[self.at : end], "in a comment")
        self.at = end

    def _redirection(self, nesting: int) -> bool:
        """A redirection; whether a word that is its target follows."""
        if self.looking_at("<(") or self.looking_at(">("):
            self.at += 2
            self.commands(")", nesting + 1)
            return False
        if self.looking_at("<<<"):
            self.at += 3
            return True
        if self.looking_at("<<"):
            raise RefuseAll("in a command with a heredoc")
        while self.at < len(self.text) and self.text[self.at] in "<>&|":
            self.at += 1
        return True

    def _word(self, nesting: int) -> str:
        """One word, as written."""
        start = self.at
        while self.at < len(self.text):
            char = self.text[self.at]
            if char in BLANK or char in OPERATORS:
                break
            if char == "'":
                self._single("'", "in single quotes, where no variable is read")
            elif char == '"':
                self._double(nesting)
            elif is_mark(char):
                self.places.put(char, BARE)
                self.at += 1
            elif plain := PLAIN.match(self.text, self.at):
                self.at = plain.end()
            else:
                self._shared(char, nesting)
        word = self.text[start : self.at]
        if SUBSCRIPT.match(word):
            raise RefuseAll("in a command with a computed array index, which Bash reads as code")
        return word

    def _double(self, nesting: int) -> None:
        self.at += 1
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == '"':
                self.at += 1
                return
            if is_mark(char):
                self.places.put(char, DOUBLE)
                self.at += 1
            elif plain := PLAIN_QUOTED.match(self.text, self.at):
                self.at = plain.end()
            else:
                self._shared(char, nesting, quoted=True)
        raise RefuseAll("in a command whose quotes do not close")

    def _single(self, opening: str, reason: str) -> None:
        """`'...'`, or `$'...'` where a backslash escapes."""
        start = self.at
        self.at += len(opening)
        while self.at < len(self.text) and self.text[self.at] != "'":
            self.at += 2 if opening == "$'" and self.text[self.at] == "\\" else 1
        if self.at >= len(self.text):
            raise RefuseAll("in a command whose quotes do not close")
        self.at += 1
        self.places.refuse(self.text[start : self.at], reason)

    def _shared(self, char: str, nesting: int, quoted: bool = False) -> None:
        """What means the same inside and outside double quotes."""
        if char == "\\":
            self.places.refuse(self.text[self.at + 1 : self.at + 2], "after a backslash")
            self.at += 2
        elif char == "`":
            raise RefuseAll("in a command with backticks (write $( ) instead)")
        else:
            self._dollar(nesting, quoted)

    def _dollar(self, nesting: int, quoted: bool) -> None:
        following = self.text[self.at + 1 : self.at + 2]
        if self.looking_at("$\\\n"):
            raise RefuseAll("in a command with a line that goes on right after a `$`")
        if self.looking_at("$((") or following == "[":
            raise RefuseAll("in a command with arithmetic, which reads values as code")
        if following == "(":
            outer, self.in_test = self.in_test, False
            self.at += 2
            self.commands(")", nesting + 1)
            self.in_test = outer
        elif following == "{":
            match = EXPANSION.match(self.text, self.at)
            if match is None:
                raise RefuseAll("in a command with a `${ }` that computes something")
            self.at = match.end()
        elif following == "'" and not quoted:
            self._single("$'", "in $' ' quotes, where no variable is read")
        elif following == '"' and not quoted:
            raise RefuseAll('in a command with $" " quotes')
        elif following and has_mark(following):
            raise RefuseAll("right after a `$`")
        else:
            self.at += 1
