"""Runs commands one after the other, until one fails; ends with that one's exit code.

`in_turn.py PLAN [NAME]`: PLAN is a file with a JSON list of argument lists. With NAME the last
command reads `NAME:PASSWORD` from standard input. The password is the one that came sealed, read
where PARAM_PASSWORD_FILE says, or else made up here; it is never printed or kept.
Standard library only; run as a file by itself.
"""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

_GIVEN = "PARAM_PASSWORD_FILE"
_BYTES = 24


def main() -> int:
    """Run the plan."""
    commands = json.loads(Path(sys.argv[1]).read_bytes())
    name = sys.argv[2] if len(sys.argv) > 2 else None
    given = os.environ.pop(_GIVEN, None)
    for number, command in enumerate(commands, 1):
        last = number == len(commands)
        fed = f"{name}:{_password(given)}\n".encode() if name and last else b""
        code = subprocess.run(command, input=fed, check=False).returncode
        if code != 0:
            return code if code > 0 else 128 - code
    if name:
        which = "the one given" if given else "a random one that nobody has seen"
        print(f"The password of {name} is now {which}.")
    return 0


def _password(given: str | None) -> str:
    if given is None:
        return secrets.token_urlsafe(_BYTES)
    password = Path(given).read_text(encoding="utf-8").removesuffix("\n")
    if not password or any(not character.isprintable() for character in password):
        sys.exit("The password given is empty or holds a character that a password can't have.")
    return password


if __name__ == "__main__":
    sys.exit(main())
