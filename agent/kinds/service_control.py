"""`service_control`: systemd where it runs, else SysV init scripts; Windows services (preview)."""

from pathlib import Path

from agent.host import host_os
from agent.payloads import ServiceControlPayload
from agent.program import Program, find, has, in_turn

SYSTEMD = Path("/run/systemd/system")
"""Exists where systemd is what runs the services: having its programs says nothing."""


def program(payload: ServiceControlPayload, folder: Path) -> Program:
    """What to start on this host. Telling how a service is needs no rights, the rest root's."""
    if host_os() == "windows":
        commands = windows(payload)
    elif SYSTEMD.is_dir():
        commands = [_systemd(payload)]
    else:
        commands = _sysv(payload)
    argv = commands[0] if len(commands) == 1 else in_turn(folder, *commands)
    return Program(argv, needs_root=payload.action != "status", leaves_running=True)


def _systemd(payload: ServiceControlPayload) -> list[str]:
    return [find("systemctl"), "--no-pager", "--no-ask-password", payload.action, "--", payload.service]


def _sysv(payload: ServiceControlPayload) -> list[list[str]]:
    name, action = payload.service, payload.action
    if action not in ("enable", "disable"):
        return [[find("service"), name, action]]
    if not has("update-rc.d") and has("chkconfig"):
        return [[find("chkconfig"), name, "on" if action == "enable" else "off"]]
    tool = find("update-rc.d")
    # Without the links `defaults` makes, there is nothing that could be switched.
    return [[tool, name, "defaults"], [tool, name, action]]


def windows(payload: ServiceControlPayload) -> list[list[str]]:
    """The command lines on Windows (preview)."""
    name = payload.service
    stop, start = ["net.exe", "stop", name, "/y"], ["net.exe", "start", name]
    match payload.action:
        case "start":
            return [start]
        case "stop":
            return [stop]
        case "restart":
            return [stop, start]
        case "enable":
            return [["sc.exe", "config", name, "start=", "auto"]]
        case "disable":
            return [["sc.exe", "config", name, "start=", "disabled"]]
        case "status":
            return [["sc.exe", "query", name]]
