"""What an attempt writes: read as bytes, kept up to the cap, shipped in chunks while it runs.

Secret values are taken out first (`agent.redaction`): none is ever kept, counted or sent.
Kept bytes go to a spool, so a server that is away costs disk, not memory. Shipping goes through
the frames in order and sends each until it is acknowledged; the same frame is always sent under
the same seq and offset, so the server may see it twice and keeps it once.
"""

import asyncio
import base64
import hashlib
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable

from agent.protocol import (
    CHUNK_BYTES,
    INLINE_OUTPUT_BYTES,
    OUTPUT_CAP_BYTES,
    Redactions,
    Stream,
    StreamReport,
)
from agent.redaction import Redactor
from agent.spool import Spool

log = logging.getLogger(__name__)

Send = Callable[[Stream, int, int, bytes], Awaitable[bool]]
"""Sends (stream, seq, offset, data) until acknowledged; False: the server no longer wants it."""


class StreamOutput:
    """One stream of one attempt."""

    def __init__(self, stream: Stream, spool: Spool) -> None:
        """Take up what the spool already holds (of an attempt that died)."""
        self.stream: Stream = stream
        self._spool = spool
        self._redactor = Redactor(())
        self.redacted: bool | None = None
        """Whether a credential was replaced in it; None: nothing was."""
        self.noted: Callable[[], None] = lambda: None
        """Called when `redacted` has changed, before any of that output is kept."""
        self._pending = bytearray()
        self._digest = hashlib.sha256()
        self._kept = 0
        self._frames = 0
        for frame in spool.frames():
            self._digest.update(frame)
            self._kept += len(frame)
            self._frames += 1
        self._recovered = self._frames > 0
        self._total = self._kept
        self._full = False
        self._offered = False
        self._finished = False
        self._inlined = False
        self._news = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def redact(self, forms: Collection[bytes], watched: Collection[bytes] = ()) -> None:
        """Take these out of what comes from now on; the watched, a credential's, also tell when they were
        there. Call it before anything is fed."""
        self._redactor = Redactor(forms, watched)

    def recall(self, redactions: Redactions) -> None:
        """What was replaced in what the spool already holds."""
        self.redacted = redactions.get(self.stream)

    def feed(self, data: bytes) -> None:
        """Keep what fits under the cap, count all of it; a secret's possible beginning waits."""
        self._take(self._redactor.feed(data))

    def _take(self, data: bytes) -> None:
        self._note()
        self._total += len(data)
        room = 0 if self._full else OUTPUT_CAP_BYTES - self._kept
        kept = data[:room]
        self._kept += len(kept)
        self._digest.update(kept)
        self._pending += kept
        while len(self._pending) >= CHUNK_BYTES:
            self._cut(CHUNK_BYTES)
        if self._pending and self._timer is None:
            # Lines show up at once at first; a job that writes for days makes fewer, larger chunks.
            delay = min(0.3 + self._frames * 0.005, 10.0)
            self._timer = asyncio.get_running_loop().call_later(delay, self._cut_all)

    def _note(self) -> None:
        found = self._redactor.seen
        if found > bool(self.redacted) or (self._redactor.hits and self.redacted is None):
            self.redacted = found
            self.noted()

    async def pump(self, reader: asyncio.StreamReader) -> None:
        """Read a pipe to its end. It is always drained, so the job never blocks on us."""
        while data := await reader.read(CHUNK_BYTES):
            self.feed(data)

    def finish(self) -> StreamReport:
        """No more will come: say what there was. Short output that was never offered rides along."""
        self._take(self._redactor.finish())
        inline: str | None = None
        if not (self._offered or self._recovered) and 0 < self._kept <= INLINE_OUTPUT_BYTES:
            inline = base64.b64encode(b"".join(self._spool.frames()) + self._pending).decode("ascii")
            self._pending.clear()
            self._inlined = True
        self._cut_all()
        self._spool.sync()
        self._finished = True
        self._news.set()
        return StreamReport(
            length=self._kept,
            total=self._total,
            sha256=self._digest.hexdigest(),
            truncated=self._total > self._kept,
            inline=inline,
            redacted=max(self._redactor.hits, self.redacted is not None),
            credential_redacted=bool(self.redacted),
        )

    async def ship(self, send: Send) -> None:
        """Send every frame in order, until the stream is finished and nothing is left to send."""
        seq = offset = position = 0
        while not self._inlined:
            found = self._spool.read(position)
            if found is None:
                if self._finished:
                    return
                self._news.clear()
                await self._news.wait()
                continue
            frame, position = found
            self._offered = True
            self._spool.sync()
            if not await send(self.stream, seq, offset, frame):
                return
            seq += 1
            offset += len(frame)

    def delete(self) -> None:
        """Drop what is kept."""
        if self._timer is not None:
            self._timer.cancel()
        self._spool.delete()

    def _cut_all(self) -> None:
        self._timer = None
        if self._pending:
            self._cut(len(self._pending))

    def _cut(self, length: int) -> None:
        frame = bytes(self._pending[:length])
        del self._pending[:length]
        try:
            self._spool.append(frame)
        except OSError as error:
            log.error("Output is cut short, it can't be kept on this host: %s", error)
            self._lose(frame)
            return
        self._frames += 1
        self._news.set()

    def _lose(self, frame: bytes) -> None:
        """The disk is full: what was kept ends before this frame."""
        self._full = True
        self._kept -= len(frame) + len(self._pending)
        self._pending.clear()
        self._digest = hashlib.sha256()
        for kept in self._spool.frames():
            self._digest.update(kept)


def redactions(outputs: Iterable[StreamOutput]) -> Redactions:
    """What was replaced in these so far."""
    return {out.stream: out.redacted for out in outputs if out.redacted is not None}
