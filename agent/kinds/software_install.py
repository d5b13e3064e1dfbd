"""`software_install`: apt or dnf; winget or choco on Windows (preview)."""

from pathlib import Path

from agent.host import host_os
from agent.payloads import SoftwareInstallPayload
from agent.program import CannotRun, Program, find, has, in_turn

_APT_OPTIONS = [
    "-q",
    "-y",
    # A name that is no package would else be tried as a pattern: `p.t` would remove half the host.
    "-oAPT::Cmd::Pattern-Only=true",
    "-oDPkg::Lock::Timeout=60",
    "-oDpkg::Options::=--force-confdef",
    "-oDpkg::Options::=--force-confold",
]
_NO_QUESTIONS = {"DEBIAN_FRONTEND": "noninteractive"}
_WINGET_OPTIONS = ["--disable-interactivity", "--accept-source-agreements"]


def program(payload: SoftwareInstallPayload, folder: Path) -> Program:
    """What to start on this host. A package may start daemons, and they may stay."""
    if host_os() == "windows":
        commands = windows(payload, winget=has("winget.exe"))
    elif has("apt-get"):
        commands = _apt(payload, find("apt-get"))
    elif has("dnf"):
        commands = [_dnf(payload, find("dnf"))]
    else:
        raise CannotRun("This host has neither apt-get nor dnf: packages can't be changed there.")
    argv = commands[0] if len(commands) == 1 else in_turn(folder, *commands)
    return Program(argv, _NO_QUESTIONS, needs_root=True, leaves_running=True)


def _apt(payload: SoftwareInstallPayload, tool: str) -> list[list[str]]:
    words = {
        "install": ["install"],
        "remove": ["remove"],
        "upgrade": ["install", "--only-upgrade"] if payload.packages else ["upgrade"],
    }[payload.action]
    change = [tool, *_APT_OPTIONS, *words, "--", *payload.packages]
    if payload.no_refresh or payload.action == "remove":
        return [change]
    return [[tool, "-q", "update"], change]


def _dnf(payload: SoftwareInstallPayload, tool: str) -> list[str]:
    refresh = [] if payload.no_refresh or payload.action == "remove" else ["--refresh"]
    # dnf joins name and version by a hyphen.
    packages = [package.replace("=", "-") for package in payload.packages]
    return [tool, "-y", *refresh, payload.action, *packages]


def windows(payload: SoftwareInstallPayload, *, winget: bool) -> list[list[str]]:
    """The command lines on Windows (preview): a call a package with winget, else choco."""
    return _winget(payload) if winget else [_choco(payload)]


def _winget(payload: SoftwareInstallPayload) -> list[list[str]]:
    verb = "uninstall" if payload.action == "remove" else payload.action
    options = ["--silent", *_WINGET_OPTIONS]
    if payload.action != "remove":
        options.append("--accept-package-agreements")
    if not payload.packages:
        return [["winget.exe", verb, "--all", *options]]
    commands = []
    for package in payload.packages:
        name, _, version = package.partition("=")
        exact = ["--version", version] if version else []
        commands.append(["winget.exe", verb, "--id", name, "--exact", *exact, *options])
    return commands


def _choco(payload: SoftwareInstallPayload) -> list[str]:
    verb = "uninstall" if payload.action == "remove" else payload.action
    packages = [package.partition("=")[0] for package in payload.packages] or ["all"]
    versions = [package.partition("=")[2] for package in payload.packages if "=" in package]
    exact = ["--version", versions[0]] if len(packages) == 1 and versions else []
    return ["choco.exe", verb, *packages, *exact, "--yes", "--no-progress"]
