"""`network_diagnostic`: the host's own tools, and a port check that needs none."""

from pathlib import Path

from agent.host import host_os
from agent.payloads import NetworkDiagnosticPayload
from agent.program import Program, find, own

_PINGS = 4


def program(payload: NetworkDiagnosticPayload, folder: Path) -> Program:
    """What to start on this host. CannotRun names the tool it lacks."""
    if payload.action == "port_check":
        return Program(own("programs/port_check", str(payload.host), str(payload.port)))
    if host_os() == "windows":
        return Program(windows(payload))
    if payload.action == "netstat":
        return Program([find("netstat", "ss"), "-tunap"])
    return Program([find(payload.action), *_arguments(payload)])


def _arguments(payload: NetworkDiagnosticPayload) -> list[str]:
    host = str(payload.host)
    match payload.action:
        case "ping":
            return ["-n", "-c", str(payload.count or _PINGS), host]
        case "nslookup":
            return _nslookup(payload, host)
        case "dig":
            # Options, since dig reads a bare word like `mx` or `any` as a type.
            server = [f"@{payload.server}"] if payload.server else []
            return [*server, "-q", host, *(["-t", payload.record_type] if payload.record_type else [])]
        case _:
            return [host]


def _nslookup(payload: NetworkDiagnosticPayload, host: str) -> list[str]:
    kind = [f"-type={payload.record_type}"] if payload.record_type else []
    return [*kind, host, *([payload.server] if payload.server else [])]


def windows(payload: NetworkDiagnosticPayload) -> list[str]:
    """The command line on Windows (preview)."""
    host = str(payload.host)
    match payload.action:
        case "ping":
            return ["ping.exe", "-n", str(payload.count or _PINGS), host]
        case "traceroute":
            return ["tracert.exe", "-d", host]
        case "netstat":
            return ["netstat.exe", "-ano"]
        case "nslookup":
            return ["nslookup.exe", *_nslookup(payload, host)]
        case _:
            return ["dig.exe", *_arguments(payload)]
