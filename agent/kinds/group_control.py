"""`group_control`: local groups and who is in them; Windows' local groups (preview)."""

from pathlib import Path

from agent.host import host_os
from agent.payloads import GroupControlPayload
from agent.program import Program, find, in_turn


def program(payload: GroupControlPayload, folder: Path) -> Program:
    """What to start on this host; members one after the other, until one can't be."""
    commands = windows(payload) if host_os() == "windows" else _posix(payload)
    argv = commands[0] if len(commands) == 1 else in_turn(folder, *commands)
    return Program(argv, needs_root=True)


def _posix(payload: GroupControlPayload) -> list[list[str]]:
    group = str(payload.group)
    match payload.action:
        case "create":
            return [[find("groupadd"), "--", group]]
        case "delete":
            return [[find("groupdel"), "--", group]]
        case "add_members":
            return [[find("gpasswd"), "--add", member, "--", group] for member in payload.members]
        case "remove_members":
            return [[find("gpasswd"), "--delete", member, "--", group] for member in payload.members]


def windows(payload: GroupControlPayload) -> list[list[str]]:
    """The command lines on Windows (preview)."""
    call = ["net.exe", "localgroup", str(payload.group)]
    match payload.action:
        case "create":
            return [[*call, "/add"]]
        case "delete":
            return [[*call, "/delete"]]
        case "add_members":
            return [[*call, member, "/add"] for member in payload.members]
        case "remove_members":
            return [[*call, member, "/delete"] for member in payload.members]
