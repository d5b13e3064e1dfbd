"""The web process alone on a database: what agents speak with. No Prefect, no worker, no keeper."""

import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from deployments.stack.embedded import web_answers
from deployments.stack.processes import Child, Processes


@dataclass(frozen=True)
class Web:
    """A web process that answers."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def peak_memory(self) -> int:
        """The most bytes it ever had resident, as the kernel counted."""
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


@asynccontextmanager
async def web_process(database_url: str, log: Path) -> AsyncIterator[Web]:
    """Run it on a free port for the time of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    environment = {
        **os.environ,
        "OPSGATE_DATABASE_URL": database_url,
        "OPSGATE_WEB_PORT": str(port),
        "OPSGATE_PUBLIC_URL": f"http://127.0.0.1:{port}",
    }
    child = Child("web", [sys.executable, "-m", "deployments.cli", "web"], log, environment)
    processes = Processes()
    await processes.start(child)
    try:
        await processes.until(lambda: web_answers(port), child, 60)
        pid = processes.pid("web")
        assert pid is not None
        yield Web(port, pid)
    finally:
        await processes.stop()
