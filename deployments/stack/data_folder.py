"""The folder in which an embedded installation keeps everything it owns.

Knows paths, permissions, ports and secret files; starts nothing. Only its owner can read it (and,
when root owns it, the PostgreSQL user may pass through without listing).
"""

import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from definitions.errors import Conflict, Invalid

_LOCK = "stack.lock"
"""Also the mark of a folder that is ours: any other must be empty, because we change its permissions."""


@dataclass(frozen=True)
class Ports:
    """The loopback ports this installation uses."""

    web: int
    prefect: int
    vault: int


class DataFolder:
    """One data folder; made if missing."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = self.path / _LOCK
        if not lock.exists() and any(self.path.iterdir()):
            raise Invalid(f"{self.path} holds other things: give Opsgate an empty folder of its own.")
        lock.touch(mode=0o600)
        if self.path.stat().st_mode & 0o047:
            self.path.chmod(self.path.stat().st_mode & 0o710)

    @classmethod
    def default(cls) -> "DataFolder":
        """`OPSGATE_DATA_DIR`, or `.opsgate` in the current folder."""
        return cls(default_path())

    def folder(self, *parts: str) -> Path:
        """A private folder inside; made if missing."""
        path = self.path.joinpath(*parts)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def log(self, part: str) -> Path:
        """Where the output of one part goes."""
        return self.folder("logs") / f"{part}.log"

    def secret(self, name: str) -> str | None:
        """A secret kept earlier, or None."""
        try:
            return (self.path / "secrets" / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def keep_secret(self, name: str, value: str) -> Path:
        """Write a secret into a file that only the owner can read; returns the file."""
        path = self.folder("secrets") / name
        write_private(path, value)
        return path

    def secret_file(self, name: str, prefix: str = "") -> Path:
        """The file of a secret, which is made up if there is none yet."""
        if self.secret(name) is None:
            self.keep_secret(name, prefix + secrets.token_urlsafe(32))
        return self.path / "secrets" / name

    def ports(self) -> Ports:
        """The ports used before, if they are free by now; otherwise new ones, remembered."""
        path = self.path / "ports.json"
        known: dict[str, int] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        chosen: dict[str, int] = {}
        for part in ("web", "prefect", "vault"):
            before = known.get(part, 0)
            chosen[part] = before if before and _is_free_soon(before) else _free_port(set(chosen.values()))
        write_private(path, json.dumps(chosen))
        return Ports(**chosen)

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Hold the folder for one running stack; the kernel lets go when the process ends, however."""
        with (self.path / _LOCK).open("a+", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise Conflict(
                    f"Opsgate is already running on the data in {self.path} (process {lock.read().strip()}). "
                    "Use that one, stop it, or choose another folder by OPSGATE_DATA_DIR."
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield


def default_path() -> Path:
    """Where the data folder is, whether it exists or not."""
    return Path(os.environ.get("OPSGATE_DATA_DIR") or ".opsgate")


def write_private(path: Path, text: str) -> None:
    """Replace a file at once; only the owner can read it, from its first byte on."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    beside.replace(path)


def _is_free_soon(port: int, seconds: float = 3.0) -> bool:
    """The children of a killed stack take a moment to end: don't move house because of them."""
    deadline = time.monotonic() + seconds
    while not _is_free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port(taken: set[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in taken:
            return port
