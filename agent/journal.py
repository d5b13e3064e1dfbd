"""The agent's memory of attempts, on disk before anything is done about them.

One append-only file; each line is a checksum and a record, fsynced. Of an attempt the last whole
line counts; a torn or spoilt line is skipped. A forgotten attempt is remembered as seen, so that
one delivered again is refused. Opening rewrites the file, so that no line is ever appended to a
torn one. It must not hold values or secrets of a job: no payload is written here.
"""

import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.protocol import CompletedReport, Redactions
from agent.tree import ProcessId

SEEN_KEPT = 10_000
_REWRITE_FROM_BYTES = 4 * 1024 * 1024
_ORDER = {"accepted": 0, "started": 1, "completed": 2, "forgotten": 3}


class Key(NamedTuple):
    """Names one attempt of one job."""

    job_id: int
    attempt: int

    def __str__(self) -> str:
        return f"job {self.job_id}, attempt {self.attempt}"


class Entry(BaseModel):
    """What is known of one attempt."""

    model_config = ConfigDict(frozen=True)

    job_id: int
    attempt: int
    state: Literal["accepted", "started", "completed", "forgotten"]
    kernel_boot: str = ""
    leader: ProcessId | None = None
    supervisor: ProcessId | None = None
    redactions: Redactions = Field(default_factory=dict)
    """So far, of one that has started; later it is in its report."""
    report: CompletedReport | None = None

    @property
    def key(self) -> Key:
        """Which attempt this is of."""
        return Key(self.job_id, self.attempt)


def encode(entry: Entry) -> bytes:
    """One line of the journal."""
    text = entry.model_dump_json(exclude_defaults=True).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def decode(content: bytes) -> list[Entry]:
    """Every whole line, in order."""
    return [entry for line in content.split(b"\n")[:-1] if (entry := _decode_line(line)) is not None]


def _decode_line(line: bytes) -> Entry | None:
    checksum, _, text = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        return None
    try:
        return Entry.model_validate_json(text)
    except ValidationError:
        return None


def fold(entries: Iterable[Entry]) -> dict[Key, Entry]:
    """The state of each attempt; a record never takes one back."""
    known: dict[Key, Entry] = {}
    for entry in entries:
        before = known.pop(entry.key, None)
        if before is not None and _ORDER[entry.state] < _ORDER[before.state]:
            entry = before
        known[entry.key] = entry
    return known


class Journal:
    """The open journal of a running agent. One process at a time (the state folder is locked)."""

    def __init__(self, path: Path) -> None:
        """Read what is there, drop what was only accepted (the server queues it again), rewrite."""
        self._path = path
        content = path.read_bytes() if path.exists() else b""
        self._known = {
            key: entry for key, entry in fold(decode(content)).items() if entry.state != "accepted"
        }
        self._fd = -1
        self._size = self._rewrite_at = 0
        self._rewrite()

    def held(self) -> list[Entry]:
        """The attempts not yet forgotten."""
        return [entry for entry in self._known.values() if entry.state != "forgotten"]

    def seen(self, key: Key) -> bool:
        """Whether this attempt was ever taken up here."""
        return key in self._known

    def record(self, entry: Entry) -> None:
        """Have this on disk before returning. OSError: it is not (disk full), though kept in memory."""
        self._known.pop(entry.key, None)
        self._known[entry.key] = entry
        if self._fd < 0 or self._size > self._rewrite_at:
            self._rewrite()
            return
        line = encode(entry)
        try:
            written = os.write(self._fd, line)
            if written != len(line):
                raise OSError(f"only {written} of {len(line)} bytes could be written to {self._path}")
            os.fsync(self._fd)
        except OSError:
            self.close()  # the last line may be torn: the next record rewrites the file
            raise
        self._size += written

    def withdraw(self, key: Key) -> None:
        """Not taken up after all, nothing ran. On disk it stays `accepted`, which a restart drops."""
        self._known.pop(key, None)

    def close(self) -> None:
        """Close the file; a later record opens it anew."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _rewrite(self) -> None:
        self.close()
        forgotten = [entry for entry in self._known.values() if entry.state == "forgotten"]
        for entry in forgotten[:-SEEN_KEPT]:
            del self._known[entry.key]
        fresh = self._path.with_suffix(".new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(os.dup(fd), "wb") as file:
                self._size = sum(file.write(encode(entry)) for entry in self._known.values())
            os.fsync(fd)
            fresh.replace(self._path)
            sync_folder(self._path.parent)
        except OSError:
            os.close(fd)
            raise
        self._fd = fd
        self._rewrite_at = max(_REWRITE_FROM_BYTES, 4 * self._size)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
