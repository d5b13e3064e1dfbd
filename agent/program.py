"""What a payload becomes on this host: a program and what it needs. Starts nothing.

The modules of `agent.kinds` make one of each payload; `agent.interpreters` gives it its rights and
environment. Arguments are always a list: no shell reads them.
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent import environment

_AGENT = Path(__file__).parent


class CannotRun(Exception):
    """This host can't run this payload; the message is a sentence for the job's reason."""


@dataclass(frozen=True)
class Program:
    """What to start for a payload."""

    argv: list[str]
    values: Mapping[str, str] = field(default_factory=dict)
    """Its environment besides what every job has."""
    needs_root: bool = False
    leaves_running: bool = False
    """What it started may go on when it has ended: it did what a service manager does."""


def find(*names: str, title: str = "") -> str:
    """The path of the first of these programs that this host has. CannotRun names what is missing."""
    for name in names:
        program = shutil.which(name, path=environment.PATH)
        if program is not None:
            return program
    missing = " and no ".join(names)
    raise CannotRun(
        f"{title or names[0]} is not on this host: there is no {missing} in {environment.PATH}. "
        "Install it there, or choose another host."
    )


def has(name: str) -> bool:
    """Whether this host has the program."""
    return shutil.which(name, path=environment.PATH) is not None


def own(name: str, *arguments: str) -> list[str]:
    """The arguments that start a program of the agent's own: `elevated`, or one in `programs`."""
    return [sys.executable, "-I", "-S", str(_AGENT / f"{name}.py"), *arguments]


def in_turn(folder: Path, *commands: Sequence[str], password_of: str | None = None) -> list[str]:
    """The arguments that run commands one after the other, until one fails.

    With `password_of` the last reads a line `NAME:PASSWORD`, made where nobody sees it.
    """
    plan = folder / "commands.json"
    write_private(plan, json.dumps([list(command) for command in commands]).encode())
    return own("programs/in_turn", str(plan), *([password_of] if password_of else []))


def write_private(path: Path, content: bytes) -> None:
    """Write a new file that only this user can read."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o700)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
