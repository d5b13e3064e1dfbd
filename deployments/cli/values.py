"""Values of parameters and inputs, as the command line gets them; secret ones without standing in argv.

Whatever stands in the arguments of a process every user of the machine can read. So a value may come
from a file (`name=@FILE`), from a prompt, or from standard input, a line for each `--secret`.
"""

import sys
from collections.abc import Callable, Sequence
from getpass import getpass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from deployments.cli.errors import WrongUse

Secrets = Annotated[
    list[str],
    Parameter(
        name="--secret",
        negative="",
        help="The name of a value that is asked for, or read as a line of standard input; repeatable.",
    ),
]
FORM = (
    "name=value, or name=@FILE for the text of a file (name=@@x for a value that begins with @); repeatable."
)


def collect(given: Sequence[str], secrets: Sequence[str], option: str) -> dict[str, str]:
    """The values by name; `option` is what the user wrote the first ones with."""
    found = dict(_pair(entry, option) for entry in given)
    for name in secrets:
        if name in found:
            raise WrongUse(f"{name} is given twice, by {option} and by --secret.")
        found[name] = asked_for(name)
    return found


def refuse_open(given: Sequence[str], declared: Callable[[], object], option: str) -> None:
    """Refuse a secret that stands on the command line. `declared` asks the server for the parameters."""
    in_the_open = [entry.partition("=")[0] for entry in given if not _is_file(entry.partition("=")[2])]
    parameters = declared() if in_the_open else None
    for each in parameters if isinstance(parameters, list) else []:
        if isinstance(each, dict) and each.get("type") == "secret" and each.get("name") in in_the_open:
            name = each["name"]
            raise WrongUse(
                f"{name} is a secret, and everybody on this machine can read command lines: give it by "
                f"--secret {name}, or {option} {name}=@FILE. Whoever may have seen it, change it."
            )


def _is_file(value: str) -> bool:
    return value.startswith("@") and not value.startswith("@@")


def _pair(entry: str, option: str) -> tuple[str, str]:
    name, equals, value = entry.partition("=")
    if not equals or not name:
        # Not the entry itself: it may be a secret without its name.
        raise WrongUse(f"{option} should look like name=value or name=@FILE.")
    if value.startswith("@@"):
        return name, value[1:]
    return name, text_of(value[1:], name) if _is_file(value) else value


def text_of(file: str, name: str) -> str:
    """What stands in a file; `WrongUse` if it can't be read."""
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise WrongUse(f"The value of {name} can't be read from {file}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise WrongUse(f"The value of {name} can't be read from {file}: it is not text in UTF-8.") from None


def asked_for(name: str) -> str:
    """What is typed unseen at a terminal, or the next line of standard input."""
    if sys.stdin.isatty():
        return getpass(f"{name}: ")
    line = sys.stdin.readline()
    if not line:
        raise WrongUse(f"There is no line for {name} on standard input.")
    return line.rstrip("\r\n")
