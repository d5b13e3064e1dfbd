"""The real agent as a process of its own on a state folder, to be killed and started again."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent import identity
from benchmarks.ours.fleet import Seat


class AgentProcess:
    """One host's agent."""

    def __init__(self, folder: Path, server: str, seat: Seat) -> None:
        """Enrolled, not running yet."""
        self.folder = folder
        self.log = folder.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None
        identity.prepare_folder(folder)
        key = X25519PrivateKey.generate()
        joined = identity.Identity(server, seat.agent_id, seat.host_id, None, seat.token, key)
        identity.save(folder, joined)

    def start(self, *options: str) -> None:
        """Run it; with `--slots N` and the like."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agent", "run", "--state", str(self.folder), "--grace", "0", *options],
                env={"PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def kill_9(self) -> None:
        """As the kernel does when memory is short: it learns nothing of it."""
        assert self._process is not None
        self._process.kill()
        await asyncio.to_thread(self._process.wait, 10)

    async def stop(self) -> None:
        """Let it go, with whatever it runs."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self._process.wait, 15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def spooled(self) -> int:
        """Bytes of output it keeps on disk now."""
        total = 0
        for file in (self.folder / "spool").glob("*"):
            try:
                total += file.stat().st_size
            except FileNotFoundError:
                continue  # acknowledged just now
        return total
