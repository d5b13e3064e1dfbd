"""Arguments that Bash's own commands, or a few well-known programs, read as more than data.

`[ "$a" "$b" ]` runs code when the first value is `-v` and the second an array index; so does an
assignment to a variable that Bash keeps as a number. Each rule here was seen to run in Bash 5.2.
"""

import re
from itertools import pairwise

from definitions.shell_positions import RefuseAll, has_mark

_PIECE = re.compile(r"""(?P<single>'[^']*')|(?P<double>"(?:\\.|[^"\\])*")|\\.|.""", re.DOTALL)
_NUMBER = re.compile(
    r"(?:RANDOM|SRANDOM|SECONDS|LINENO|HISTCMD|OPTIND|BASHPID|PPID|UID|EUID)(\+?=.*)?", re.DOTALL
)
_NUMBER_NAME = re.compile(r"RANDOM|SECONDS|LINENO|HISTCMD|OPTIND|BASHPID|PPID|UID")
"""Stands in every one of those."""
_QUOTES = re.compile(r"[\"'\\]")
_RUNS_NEXT = frozenset(["-exec", "-execdir", "-ok", "-okdir", "--rsh", "--rsync-path", "--upload-pack"])
_RUNS_VALUE = re.compile(
    r"--(?:rsh|rsync-path|upload-pack|to-command|checkpoint-action|use-compress-program)="
)


def flows(word: str) -> bool:
    """Whether a value may stand in a word, as written: a reference, or a variable outside single quotes."""
    kept = "".join(piece[0] for piece in _PIECE.finditer(word) if not piece["single"] and piece[0][0] != "\\")
    return has_mark(kept) or "$" in kept


def splits(word: str) -> bool:
    """Whether a variable or `$( )` stands outside quotes, where its value becomes several words."""
    kept = "".join(
        piece[0]
        for piece in _PIECE.finditer(word)
        if not piece["single"] and not piece["double"] and piece[0][0] != "\\"
    )
    return re.search(r"\$(?![?#$!])", kept) is not None


def inspect_arguments(name: str, words: list[str], plain: list[str]) -> None:
    """Refuse what the arguments of a command make code; `plain` are the words without quotes."""
    if name in ("test", "["):
        _inspect_test(name, words)
    elif name == "printf" and plain and plain[0] != "--" and flows(words[0]):
        if plain[0][0] in "$-" or has_mark(plain[0][0]):
            raise RefuseAll("in a command with a `printf` whose format begins with a value (write printf %s)")
    elif name == "flock" and any(re.fullmatch(r"-[A-Za-z]*c|--command", word) for word in plain):
        raise RefuseAll("in a command with `flock -c`, which reads text as code")
    for at, word in enumerate(plain):
        if plain[at - 1 : at] and plain[at - 1] in _RUNS_NEXT and flows(words[at]):
            raise RefuseAll(f"in a command whose `{plain[at - 1]}` names a program by a value")
        if _RUNS_VALUE.match(word) and flows(words[at]):
            raise RefuseAll("in a command with an option that names a program by a value")


def _inspect_test(name: str, words: list[str]) -> None:
    if any(map(splits, words)):
        raise RefuseAll(f"in a command with `{name}` and a variable without double quotes")
    if any(flows(word) and flows(following) for word, following in pairwise(words)):
        raise RefuseAll(f"in a command with `{name}` where a value may be the operator")


def inspect_numbers(words: list[str]) -> None:
    """Refuse all where a variable that Bash keeps as a number is set: it calculates what it is given."""
    if not _NUMBER_NAME.search(_QUOTES.sub("", " ".join(words))):
        return
    names = any(word in ("for", "select", "read") for word in words)
    for word in words:
        match = _NUMBER.fullmatch(_QUOTES.sub("", word))
        if match is not None and (match[1] or names):
            raise RefuseAll("in a command that sets a variable which Bash keeps as a number")
