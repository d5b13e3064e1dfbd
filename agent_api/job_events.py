"""A job as a stream of server-sent events: how it stands, and what it prints, from a cursor on.

Every event carries the cursor of what was sent with it and before it: who comes back with the last
one (`Last-Event-ID`) goes on there, without a gap or a repetition. Chunks are read a few at a time
and only when the ones before were taken: a slow reader holds up nothing and fills no memory.
Who loses the right to read, or the token or session, loses the stream too.
"""

import re
import time
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

from fastapi.sse import ServerSentEvent
from pydantic import BaseModel, ConfigDict

from agent.protocol import Stream
from agent_api.admission import Admission
from agent_api.events import Events
from definitions.errors import Invalid, NotAuthenticated, NotFound, NotPermitted
from definitions.lifecycles.job import ENDED
from store import job_output, jobs
from store.connection import Database
from store.job_output import OutputItem
from store.job_views import JobRow

LOOK_AGAIN_SECONDS = 15.0
"""A notification may be lost: look by ourselves this often."""
STREAM_SECONDS = 600.0
"""Then the stream ends without `end`, and who comes back is checked anew."""
CHUNKS_AT_ONCE = 4
"""256 KiB of output are in memory for a reader, whatever the job has printed."""

STREAMS: tuple[Stream, ...] = ("stdout", "stderr")
_CURSOR = re.compile(r"([1-9][0-9]{0,8})\.(-1|[0-9]{1,9})\.(-1|[0-9]{1,9})")


class Cursor(NamedTuple):
    """What a reader has: the attempt, and the last chunk of each stream (-1: none yet)."""

    attempt: int
    stdout: int = -1
    stderr: int = -1

    def __str__(self) -> str:
        return f"{self.attempt}.{self.stdout}.{self.stderr}"

    @classmethod
    def read(cls, text: str) -> "Cursor":
        """The cursor of an event's id, or `Invalid`."""
        found = _CURSOR.fullmatch(text)
        if found is None:
            raise Invalid("Last-Event-ID is not the id of an event of a job.")
        return cls(*(int(part) for part in found.groups()))

    def of(self, stream: Stream) -> int:
        """The last chunk of one stream."""
        return self.stdout if stream == "stdout" else self.stderr

    def past(self, stream: Stream, seq: int) -> "Cursor":
        """With one more chunk."""
        return self._replace(**{stream: seq})


class Printed(BaseModel):
    """The data of an `output` event."""

    model_config = ConfigDict(frozen=True)

    attempt: int
    stream: Stream
    seq: int
    offset: int
    text: str
    base64: str | None
    """The bytes, when they are not just those of `text`."""


async def follow(
    db: Database,
    admission: Admission,
    told: Events,
    job_id: int,
    streams: Sequence[Stream] = STREAMS,
    cursor: Cursor | None = None,
) -> AsyncGenerator[ServerSentEvent]:
    """`job` now and at every change, `output` for every chunk, `end` when all is over and was sent.

    Begins with the newest attempt, or where the cursor says. An attempt that follows is followed too.
    """
    until = time.monotonic() + STREAM_SECONDS
    shown: tuple[object, ...] | None = None
    with told.subscribe([f"job:{job_id}"]) as subscription:
        while time.monotonic() < until:
            try:
                actor = await admission.actor()
                job = await jobs.row(db, actor, job_id)
            except (NotFound, NotAuthenticated, NotPermitted):
                return  # deleted or taken away meanwhile: who comes back learns of it
            cursor = cursor or Cursor(job.attempt)
            if (state := _state(job)) != shown:
                shown = state
                yield _event("job", job, cursor)
            sent, over = False, True
            for stream in streams:
                after = cursor.of(stream)
                part = await job_output.read(
                    db, actor, job_id, stream, after, cursor.attempt, most=CHUNKS_AT_ONCE
                )
                over = over and part.done
                for item in part.items:
                    sent, cursor = True, cursor.past(stream, item.seq)
                    yield _event("output", _printed(cursor.attempt, stream, item), cursor)
            if over and cursor.attempt < job.attempt:
                cursor = Cursor(cursor.attempt + 1)
            elif over and job.status in ENDED:
                yield _event("end", job, cursor)
                return
            elif not (sent or over):
                await subscription.wait(LOOK_AGAIN_SECONDS)


def _state(job: JobRow) -> tuple[object, ...]:
    """What of a job is news when it changes; why it waits grows older by itself."""
    return job.status, job.attempt, job.reason, job.cancel_requested_at


def _printed(attempt: int, stream: Stream, item: OutputItem) -> Printed:
    return Printed(attempt=attempt, stream=stream, **item.model_dump())


def _event(name: str, said: BaseModel, cursor: Cursor) -> ServerSentEvent:
    return ServerSentEvent(event=name, raw_data=said.model_dump_json(), id=str(cursor))
