"""`user_control`: local users by shadow's tools; Windows' local users (preview).

A password is fed to chpasswd by standard input and stands nowhere else. A user made here has
none, and can sign in by key only until one is set.
"""

import os
import pwd
from pathlib import Path

from agent.host import host_os
from agent.payloads import UserControlPayload
from agent.program import CannotRun, Program, find, in_turn

_LONG_AGO = "1"
"""The day an account expired, in days since 1970: keys no longer open it either."""


def program(payload: UserControlPayload, folder: Path) -> Program:
    """What to start on this host. CannotRun: it would take the agent's own user away."""
    name = str(payload.user)
    if host_os() == "windows":
        command = windows(payload)
    else:
        if payload.action in ("delete", "disable", "reset_password"):
            _not_our_own(name)
        command = _posix(payload)
    if payload.action == "reset_password":
        command = in_turn(folder, command, password_of=name)
    return Program(command, needs_root=True)


def _posix(payload: UserControlPayload) -> list[str]:
    name = str(payload.user)
    match payload.action:
        case "create":
            return [find("useradd"), *_wishes(payload), "--", name]
        case "delete":
            return [find("userdel"), *(["--remove"] if payload.remove_home else []), "--", name]
        case "disable":
            return [find("usermod"), "--lock", "--expiredate", _LONG_AGO, "--", name]
        case "enable":
            return [find("usermod"), "--unlock", "--expiredate", "", "--", name]
        case "reset_password":
            return [find("chpasswd")]


def _wishes(payload: UserControlPayload) -> list[str]:
    wishes = ["--no-create-home" if payload.no_home else "--create-home"]
    if payload.system:
        wishes.append("--system")
    if payload.shell:
        wishes += ["--shell", payload.shell]
    if payload.groups:
        wishes += ["--groups", ",".join(payload.groups)]
    return wishes


def _not_our_own(name: str) -> None:
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        return  # the tool says it in its own words
    if uid in (0, os.geteuid()):
        raise CannotRun(
            f"{name} is root or the agent's own user: this host would be out of reach without it."
        )


def windows(payload: UserControlPayload) -> list[str]:
    """The command line on Windows (preview). A new password is read from standard input."""
    name = str(payload.user)
    script = {
        "create": f"New-LocalUser -Name '{name}' -NoPassword",
        "delete": f"Remove-LocalUser -Name '{name}'",
        "enable": f"Enable-LocalUser -Name '{name}'",
        "disable": f"Disable-LocalUser -Name '{name}'",
        "reset_password": "$line = [Console]::In.ReadLine(); "
        "$new = ConvertTo-SecureString $line.Split(':', 2)[1] -AsPlainText -Force; "
        f"Set-LocalUser -Name '{name}' -Password $new",
    }[payload.action]
    return ["powershell.exe", "-NoProfile", "-NonInteractive", "-Command", script]
