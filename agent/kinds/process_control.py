"""`process_control`: end processes of the host, never the agent's own nor what it runs in."""

import os
from pathlib import Path

from agent.host import host_os
from agent.payloads import ProcessControlPayload
from agent.program import Program, own


def program(payload: ProcessControlPayload, folder: Path) -> Program:
    """What to start on this host; what must live is found out by `end_processes`, when it looks."""
    if host_os() == "windows":
        return Program(windows(payload))
    which = f"pid={payload.pid}" if payload.name is None else f"name={payload.name}"
    return Program(own("programs/end_processes", payload.action, which, str(os.getpid())))


def windows(payload: ProcessControlPayload) -> list[str]:
    """The command line on Windows (preview)."""
    which = ["/PID", str(payload.pid)] if payload.name is None else ["/IM", payload.name]
    force = ["/F"] if payload.action == "force_kill" else []
    return ["taskkill.exe", *which, *force, "/FI", f"PID ne {os.getpid()}"]
