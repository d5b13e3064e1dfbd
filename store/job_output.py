"""What attempts print: chunks by (job, attempt, stream, seq), at most 10 MiB a stream.

An identical chunk may come again; it is stored once. Bytes, not text: only reading decodes.
"""

import base64
import codecs

from pydantic import BaseModel, ConfigDict

from agent.protocol import CHUNK_BYTES, OUTPUT_CAP_BYTES, Stream
from definitions.errors import Conflict, Invalid, NotFound
from definitions.lifecycles.job import ENDED, JobStatus
from definitions.permissions import Actor, require
from store.connection import Database, Tx
from store.job_endings import announce

READ_CHUNKS = 32
"""Most chunks of one answer: 2 MiB."""


class OutputItem(BaseModel):
    """One chunk. `base64` only when its bytes are not just those of `text`: they are no UTF-8, or a
    character is split between this chunk and the next."""

    model_config = ConfigDict(frozen=True)

    seq: int
    offset: int
    text: str
    base64: str | None = None


class OutputView(BaseModel):
    """Chunks after a cursor; `done`: there are no more and there will be none."""

    model_config = ConfigDict(frozen=True)

    attempt: int
    items: list[OutputItem]
    next: int
    done: bool


async def append(
    db: Database, agent: Actor, job_id: int, attempt: int, stream: Stream, seq: int, offset: int, data: bytes
) -> None:
    """Store a chunk of a running attempt of this agent. One that is there already is no error."""
    if len(data) > CHUNK_BYTES or seq < 0 or offset < 0:
        raise Invalid(f"A chunk has at most {CHUNK_BYTES} bytes, and neither seq nor offset is negative.")
    async with db.transaction() as tx:
        job = await tx.fetchrow(
            "SELECT status, attempt, agent_id FROM jobs WHERE id = $1 FOR NO KEY UPDATE", job_id
        )
        if job is None or job["agent_id"] != agent.id:
            raise NotFound(f"There is no job {job_id} of this agent.")
        there = await tx.fetchval(
            "SELECT data FROM job_output WHERE job_id = $1 AND attempt = $2 AND stream = $3 AND seq = $4",
            job_id,
            attempt,
            stream,
            seq,
        )
        if there is not None:
            if there != data:
                raise Conflict(f"Chunk {seq} of {stream} was sent before with other bytes.")
            return
        if job["attempt"] != attempt or job["status"] != JobStatus.RUNNING:
            raise Conflict(f"Attempt {attempt} of job {job_id} is not running.")
        await store(tx, job_id, attempt, stream, seq, offset, data)
        await announce(tx, job_id)


async def store(
    tx: Tx, job_id: int, attempt: int, stream: Stream, seq: int, offset: int, data: bytes
) -> None:
    """Store a new chunk of a job the caller has locked, up to the cap; the rest is dropped and flagged."""
    kept: int = await tx.fetchval(f"SELECT {stream}_length FROM jobs WHERE id = $1", job_id)
    part = data[: max(0, OUTPUT_CAP_BYTES - kept)]
    if part:
        await tx.execute(
            """INSERT INTO job_output (job_id, attempt, stream, seq, byte_offset, data)
               VALUES ($1, $2, $3, $4, $5, $6)""",
            job_id,
            attempt,
            stream,
            seq,
            offset,
            part,
        )
    await tx.execute(
        f"""UPDATE jobs SET {stream}_length = $2, {stream}_truncated = {stream}_truncated OR $3
            WHERE id = $1""",
        job_id,
        kept + len(part),
        len(part) < len(data),
    )


async def read(
    db: Database,
    actor: Actor,
    job_id: int,
    stream: Stream = "stdout",
    after: int = -1,
    attempt: int | None = None,
    most: int = READ_CHUNKS,
) -> OutputView:
    """At most `most` chunks whose seq is above `after`, of the newest attempt unless another is asked for."""
    require(actor, "jobs.view")
    async with db.connection() as connection:
        # Status first: an attempt that has ended gets no further chunk, so `done` is never too early.
        job = await connection.fetchrow("SELECT status, attempt FROM jobs WHERE id = $1", job_id)
        if job is None:
            raise NotFound(f"There is no job {job_id}.")
        wanted = attempt or job["attempt"]
        rows = await connection.fetch(
            """SELECT seq, byte_offset, data FROM job_output
               WHERE job_id = $1 AND attempt = $2 AND stream = $3 AND seq > $4 ORDER BY seq LIMIT $5""",
            job_id,
            wanted,
            stream,
            after,
            most + 1,
        )
        carried = await _carried(connection, job_id, wanted, stream, after)
    shown = rows[:most]
    more = len(rows) > len(shown)
    over = wanted < job["attempt"] or job["status"] in ENDED
    items = _decoded(
        [(row["seq"], row["byte_offset"], row["data"]) for row in shown], carried, over and not more
    )
    return OutputView(
        attempt=wanted, items=items, next=shown[-1]["seq"] if shown else after, done=over and not more
    )


async def _carried(tx: Tx, job_id: int, attempt: int, stream: str, after: int) -> bytes:
    """The last bytes before the cursor: a character may begin there and end after it."""
    tail: bytes | None = await tx.fetchval(
        """SELECT substring(data FROM greatest(1, length(data) - 2)) FROM job_output
           WHERE job_id = $1 AND attempt = $2 AND stream = $3 AND seq <= $4 ORDER BY seq DESC LIMIT 1""",
        job_id,
        attempt,
        stream,
        after,
    )
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(tail or b"")
    return decoder.getstate()[0]


def _decoded(chunks: list[tuple[int, int, bytes]], carried: bytes, final: bool) -> list[OutputItem]:
    """Text of chunks; a character split between two belongs to the second."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(carried)
    items = []
    for position, (seq, offset, data) in enumerate(chunks):
        text = decoder.decode(data, final and position == len(chunks) - 1)
        exact = text.encode() == data
        items.append(
            OutputItem(
                seq=seq, offset=offset, text=text, base64=None if exact else base64.b64encode(data).decode()
            )
        )
    return items
