"""How a payload becomes a process: which program, from which files, with which rights.

A kind of job is a function in `_KINDS`; scripts and commands are here, the others in `agent.kinds`.
The text of a script or command is written to a file of this attempt alone (0700, in a 0700
folder), never into argv: others on the host would see it, and long ones would not fit.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent import credential, environment, rights, workplace
from agent.credential import Means
from agent.kinds import (
    group_control,
    network_diagnostic,
    process_control,
    service_control,
    software_install,
    user_control,
)
from agent.payloads import CommandPayload, JobPayload, ScriptPayload, TextPayload
from agent.program import CannotRun as CannotRun
from agent.program import Program, find, has, own, write_private
from agent.protocol import Credential
from agent.tree import Launch

_SUFFIX = {"bash": ".sh", "python": ".py", "powershell": ".ps1"}
_PROGRAM = {"bash": "bash", "python": "python3", "powershell": "pwsh"}
_TITLE = {"bash": "Bash", "python": "Python", "powershell": "PowerShell"}


async def prepare(payload: JobPayload, folder: Path, runs_by: Credential | None = None) -> Launch:
    """Write the job's files into `folder` and say what to start, as whom the payload or the credential says.
    CannotRun says why it can't be done."""
    means = _means(payload, folder, runs_by)
    user = means.user
    if user is not None and means.su is None:
        folder = workplace.reachable_by(user, folder)
    program = _KINDS[payload.type](payload, folder)
    elevated = payload.requires_elevation or program.needs_root
    sudo = await rights.sudo(payload.type) if elevated else None
    as_root = sudo is not None or os.geteuid() == 0
    named = None if user is None else (user.name, user.home)
    try:
        values = environment.build({**program.values, **means.values}, as_root=as_root, user=named)
    except environment.BadValue as error:
        raise CannotRun(str(error)) from None
    private = tuple(means.secrets)
    launch = Launch(program.argv, values, folder, secrets=means.secrets, private=private, key=means.key)
    launch = replace(launch, leaves_running=program.leaves_running)
    if means.su is not None:
        there = workplace.made_by_itself()
        argv, files = credential.moved(program.argv, folder, there), credential.files_of(folder)
        return replace(launch, argv=argv, folder=there, files=files, su=means.su)
    if user is not None:
        workplace.hand_over(folder, user)
    if sudo is None:
        return replace(launch, user=user if os.geteuid() == 0 else None)  # else it is this user already
    stdin = folder / "environment.json"
    write_private(stdin, json.dumps(values).encode())
    start = [sudo, "-n", "--", *own("elevated")]
    bare = environment.build({}, as_root=False)
    return replace(launch, argv=[*start, *program.argv], environment=bare, stdin=stdin)


def _means(payload: JobPayload, folder: Path, runs_by: Credential | None) -> Means:
    if not isinstance(payload, TextPayload):
        if runs_by is not None:
            raise CannotRun(f"A {payload.type} job runs as no identity.")
        return Means()
    if runs_by is not None and runs_by.type == "password" and (payload.run_as or payload.requires_elevation):
        raise CannotRun(f"The job runs as {runs_by.username} by its identity, and as another user besides.")
    run_as = None if payload.run_as is None else rights.user(payload.run_as)
    return credential.of(runs_by, run_as, folder)


def available() -> list[str]:
    """The interpreters this host has, for its facts."""
    return [program for program in _PROGRAM.values() if has(program)]


def _script(payload: ScriptPayload, folder: Path) -> Program:
    return _text(payload.language, payload.content, payload.environment, folder)


def _command(payload: CommandPayload, folder: Path) -> Program:
    return _text(payload.shell or "bash", payload.command, payload.environment, folder)


def _text(language: str, text: str, values: Mapping[str, str], folder: Path) -> Program:
    program = find(_PROGRAM[language], title=_TITLE[language])
    try:
        content = text.encode("utf-8")
    except UnicodeEncodeError:
        raise CannotRun("The text of the job is not valid Unicode.") from None
    file = folder / f"job{_SUFFIX[language]}"
    write_private(file, content)
    return Program([program, *_flags(language), str(file)], values)


def _flags(language: str) -> list[str]:
    return ["-NoProfile", "-NonInteractive", "-File"] if language == "powershell" else []


_KINDS: Mapping[str, Callable[[Any, Path], Program]] = {
    "script": _script,
    "command": _command,
    "service_control": service_control.program,
    "process_control": process_control.program,
    "network_diagnostic": network_diagnostic.program,
    "software_install": software_install.program,
    "user_control": user_control.program,
    "group_control": group_control.program,
}
