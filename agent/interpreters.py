"""How a payload becomes a process: which interpreter, from which file, with which rights.

The text of a script or command is written to a file of this attempt alone (0700, in a 0700
folder), never into argv: others on the host would see it, and long ones would not fit.
"""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

from agent import environment
from agent.payloads import CommandPayload, JobPayload, ScriptPayload
from agent.tree import Launch

_SUFFIX = {"bash": ".sh", "python": ".py", "powershell": ".ps1"}
_PROGRAM = {"bash": "bash", "python": "python3", "powershell": "pwsh"}
_TITLE = {"bash": "Bash", "python": "Python", "powershell": "PowerShell"}
_SUDO_CHECK_SECONDS = 5.0


class CannotRun(Exception):
    """This host can't run this payload; the message is a sentence for the job's reason."""


async def prepare(payload: JobPayload, folder: Path) -> Launch:
    """Write the job's file into `folder` and say what to start. CannotRun says why it can't be done."""
    language, text = _language_and_text(payload)
    program = _find(language)
    root = os.geteuid() == 0
    sudo = await _sudo() if payload.requires_elevation and not root else None
    try:
        values = environment.build(payload.environment, as_root=root or sudo is not None)
        content = text.encode("utf-8")
    except environment.BadValue as error:
        raise CannotRun(str(error)) from None
    except UnicodeEncodeError:
        raise CannotRun("The text of the job is not valid Unicode.") from None
    file = folder / f"job{_SUFFIX[language]}"
    write_private(file, content)
    argv = [program, *_flags(language), str(file)]
    if sudo is None:
        return Launch(argv, values, folder)
    stdin = folder / "environment.json"
    write_private(stdin, json.dumps(values).encode())
    start = [sudo, "-n", "--", sys.executable, "-I", "-S", str(Path(__file__).with_name("elevated.py"))]
    return Launch([*start, *argv], environment.build({}, as_root=False), folder, stdin)


def available() -> list[str]:
    """The interpreters this host has, for its facts."""
    return [program for program in _PROGRAM.values() if shutil.which(program, path=environment.PATH)]


def write_private(path: Path, content: bytes) -> None:
    """Write a new file that only this user can read."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o700)
    with os.fdopen(fd, "wb") as file:
        file.write(content)


def _language_and_text(payload: JobPayload) -> tuple[str, str]:
    match payload:
        case ScriptPayload():
            return payload.language, payload.content
        case CommandPayload():
            return payload.shell or "bash", payload.command


def _find(language: str) -> str:
    name = _PROGRAM[language]
    program = shutil.which(name, path=environment.PATH)
    if program is None:
        raise CannotRun(
            f"{_TITLE[language]} is not on this host: there is no {name} in {environment.PATH}. "
            "Install it there, or choose another host or language."
        )
    return program


def _flags(language: str) -> list[str]:
    return ["-NoProfile", "-NonInteractive", "-File"] if language == "powershell" else []


async def _sudo() -> str:
    """The path of sudo, when this user may become root without a password."""
    needs = "The job requires elevation, the agent does not run as root"
    sudo = shutil.which("sudo", path=environment.PATH)
    if sudo is None:
        raise CannotRun(f"{needs}, and sudo is not on this host.")
    check = await asyncio.create_subprocess_exec(
        sudo,
        "-n",
        "true",
        env=environment.build({}, as_root=False),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        code = await asyncio.wait_for(check.wait(), _SUDO_CHECK_SECONDS)
    except TimeoutError:
        check.kill()
        await check.wait()
        code = 1
    if code != 0:
        raise CannotRun(f"{needs}, and its user may not use sudo without a password.")
    return sudo
