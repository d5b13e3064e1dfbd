"""Libraries put in front of a script's text: the one place that says how the two become one.

In link order, after what the language wants first. What must stand at the top of a library too (Python's
`from __future__`, PowerShell's `using`) moves to the top of the whole. A script behind blank libraries is
the script itself; nothing here changes a script's own characters.
"""

from collections.abc import Iterator, Sequence

from definitions.errors import Invalid
from definitions.problems import Problem
from definitions.script import CONTENT_CHARACTERS, Language
from definitions.script_head import HEADS

_GAP: dict[Language, str] = {"bash": "", "powershell": "", "python": "\npass\n"}
"""Before the libraries. In Python the first two lines may name an encoding, and a first statement that is
a text is the docstring: a library's are neither."""
_STAND_IN: dict[Language, str] = {"bash": "", "powershell": "", "python": "pass"}
"""In place of a statement that moved away: the line may go on after it."""
_BLANK = " \t\f\r\n\ufeff"


def prepend(language: Language, content: str, libraries: Sequence[str]) -> str:
    """The text to run: `content` with the texts of its libraries. Raises `Invalid` when that can't be,
    or is more than CONTENT_CHARACTERS."""
    written = [text.removeprefix("\ufeff") for text in libraries if text.strip(_BLANK)]
    if not written:
        return content
    head = HEADS[language](content)
    if head.blocks:
        raise _refused(
            "named-blocks",
            "A script made of begin, process or end blocks can't have libraries.",
            "Write the body without named blocks, or put the functions into its begin block.",
        )
    moved: list[str] = []
    bodies: list[str] = []
    for text in written:
        statements, body = _apart(language, text)
        moved += statements
        bodies.append(body)
    before = [content[: head.top], *moved, content[head.top : head.end]] if moved else [content[: head.end]]
    front = "".join(map(_closed, before)) + _GAP[language] + "".join(map(_closed, bodies))
    whole = front + content[head.end :]
    if len(whole) > CONTENT_CHARACTERS:
        raise _refused(
            "too-long",
            f"With its libraries the script has {len(whole)} characters; {CONTENT_CHARACTERS} is the most.",
            "Link fewer libraries, or shorten them.",
        )
    return whole


def unfit_library(language: Language, content: str) -> Iterator[Problem]:
    """Why a text can't be put in front of another, if so."""
    head = HEADS[language](content)
    if head.top != head.end:
        message = "A library has no `param` block: the script after it may have its own."
        yield _problem("/content", "param-in-library", message, "Give the functions parameters instead.")
    if head.blocks:
        message = "A library is no begin, process or end block: the script after it could not run."
        yield _problem("/content", "named-blocks", message, "Write functions only.")


def _apart(language: Language, text: str) -> tuple[list[str], str]:
    """The statements of a library that move to the top, and the rest of it."""
    if language == "bash" and text.count("\r\n") == text.count("\n"):
        # Written on Windows from end to end: to Bash each carriage return would be part of a word.
        text = text.replace("\r\n", "\n")
    moved: list[str] = []
    rest, at = "", 0
    for start, stop in HEADS[language](text).movable:
        moved.append(text[start:stop])
        rest += text[at:start] + _STAND_IN[language]
        at = stop
    return moved, rest + text[at:]


def _closed(text: str) -> str:
    """Ending where a line ends, so that nothing after it is drawn into it."""
    if text and not text.endswith("\n"):
        text += "\n"
    return text + "\n" if text.rstrip("\r\n").endswith(("\\", "`")) else text


def _refused(code: str, message: str, fix: str) -> Invalid:
    return Invalid(message, [_problem("/libraries", code, message, fix)])


def _problem(pointer: str, code: str, message: str, fix: str) -> Problem:
    return Problem(pointer=pointer, code=code, message=message, fix=fix)
