"""One stream's kept output on disk, as frames: a length and that many bytes.

A frame is a chunk on the wire: its place in the file is its `seq`, so that what is sent again
after a crash is cut exactly as before. A torn last frame was never sent and is dropped.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

_HEADER = struct.Struct(">I")


class Spool:
    """A file of frames that is appended to and read from the start."""

    def __init__(self, path: Path) -> None:
        """Open the file and cut off a torn last frame."""
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._synced = True
        os.ftruncate(self._fd, sum(_HEADER.size + len(frame) for frame in self.frames()))

    def append(self, frame: bytes) -> None:
        """Add one frame. OSError: it is not in the file, which ends where it ended before."""
        end = os.fstat(self._fd).st_size
        record = _HEADER.pack(len(frame)) + frame
        try:
            written = os.write(self._fd, record)
            if written != len(record):
                raise OSError("the disk is full")
        except OSError:
            os.ftruncate(self._fd, end)
            raise
        self._synced = False

    def sync(self) -> None:
        """Have every frame on disk: before it is sent, or it could be cut otherwise after a crash."""
        if not self._synced:
            os.fdatasync(self._fd)
            self._synced = True

    def read(self, position: int) -> tuple[bytes, int] | None:
        """The frame at this position of the file, and the position after it; None at the end."""
        header = os.pread(self._fd, _HEADER.size, position)
        if len(header) < _HEADER.size:
            return None
        (length,) = _HEADER.unpack(header)
        frame = os.pread(self._fd, length, position + _HEADER.size)
        return (frame, position + _HEADER.size + length) if len(frame) == length else None

    def frames(self) -> Iterator[bytes]:
        """Every frame."""
        position = 0
        while (found := self.read(position)) is not None:
            frame, position = found
            yield frame

    def delete(self) -> None:
        """Drop the file."""
        os.close(self._fd)
        self._path.unlink(missing_ok=True)
