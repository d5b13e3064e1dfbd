"""Output as files: one stream of a job byte for byte, a whole execution as JSON lines.

Read chunk by chunk while the file is sent: however long, no more than a few chunks are in memory.
"""

import codecs
import json
from collections.abc import AsyncIterator
from typing import NamedTuple

from agent.protocol import Stream
from definitions.errors import NotFound
from definitions.permissions import Actor, require
from store import references
from store.connection import Database

_CHUNKS = 16
"""How many are read at a time: 1 MiB."""


class Download(NamedTuple):
    """A file to send: its name (letters, digits, dots and hyphens only) and its bytes."""

    name: str
    content: AsyncIterator[bytes]


async def of_job(
    db: Database, actor: Actor, job_id: int, stream: Stream, attempt: int | None = None
) -> Download:
    """What an attempt (the newest, unless another is asked for) has printed so far, as it was."""
    require(actor, "jobs.view")
    newest = await db.fetchval("SELECT attempt FROM jobs WHERE id = $1", job_id)
    if newest is None:
        raise NotFound(f"There is no job {job_id}.")
    wanted = attempt or newest
    return Download(f"job-{job_id}-attempt-{wanted}-{stream}.txt", _chunks(db, job_id, wanted, stream))


async def of_execution(db: Database, actor: Actor, execution_id: int) -> Download:
    """One JSON object a line and host: how the job ended and all it printed. Bytes that are no UTF-8 are
    replaced; `of_job` has them."""
    require(actor, "scripts.view")
    if not await db.fetchval("SELECT EXISTS (SELECT 1 FROM executions WHERE id = $1)", execution_id):
        raise references.missing("execution", execution_id)
    return Download(f"execution-{execution_id}.jsonl", _lines(db, execution_id))


async def _chunks(db: Database, job_id: int, attempt: int, stream: str) -> AsyncIterator[bytes]:
    after: int | None = -1
    while after is not None:
        rows = await db.fetch(
            """SELECT seq, data FROM job_output
               WHERE job_id = $1 AND attempt = $2 AND stream = $3 AND seq > $4 ORDER BY seq LIMIT $5""",
            job_id,
            attempt,
            stream,
            after,
            _CHUNKS,
        )
        after = rows[-1]["seq"] if len(rows) == _CHUNKS else None
        for row in rows:
            yield row["data"]


async def _lines(db: Database, execution_id: int) -> AsyncIterator[bytes]:
    rows = await db.fetch(
        """SELECT j.id AS job, h.name AS host, j.status, j.attempt, j.exit_code, j.reason,
                  extract(epoch FROM j.ended_at - j.started_at)::float AS duration,
                  j.stdout_truncated, j.stderr_truncated
           FROM jobs j JOIN hosts h ON h.id = j.host_id WHERE j.execution_id = $1 ORDER BY j.id""",
        execution_id,
    )
    for row in rows:
        yield json.dumps(dict(row), ensure_ascii=False).removesuffix("}").encode()
        for stream in ("stdout", "stderr"):
            yield f', "{stream}": "'.encode()
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            async for data in _chunks(db, row["job"], row["attempt"], stream):
                yield _inside_quotes(decoder.decode(data))
            yield _inside_quotes(decoder.decode(b"", final=True)) + b'"'
        yield b"}\n"


def _inside_quotes(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False)[1:-1].encode()
