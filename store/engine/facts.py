"""What a step's jobs and gate have come to: read by the engine to settle a step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from definitions.routing import Active
from definitions.script import Script
from definitions.variables import STREAMS, HostFacts, Stream
from store import scripts
from store.connection import Database
from store.engine.host_work import HostWork

FACT_BYTES = 1024 * 1024
"""Most of one host's stream that later steps can refer to; the job keeps up to 10 MiB."""

STEP_BYTES = 8 * FACT_BYTES
"""Most of a whole step, shared evenly by its hosts' streams: every later segment loads it."""

LEAST_BYTES = 4096
"""What each stream may have all the same, however many hosts there are."""


def share(hosts: int) -> int:
    """How many bytes of each stream a step on so many hosts keeps for later steps."""
    return min(FACT_BYTES, max(LEAST_BYTES, STEP_BYTES // (2 * max(1, hosts))))


async def host_facts(db: Database, hosts: Sequence[HostWork]) -> tuple[HostFacts, ...]:
    """What each host printed first in the job's newest attempt, up to its `share`, as text, and which streams
    went on; bytes that are no UTF-8 are replaced. A host that has no job has printed nothing, and has no exit
    code."""
    most = share(len(hosts))
    job_ids = [host.job_id for host in hosts if host.job_id is not None]
    rows = await db.fetch(
        """SELECT o.job_id, o.stream, substring(o.data FROM 1 FOR ($2 - o.byte_offset)::int) AS data
           FROM job_output o JOIN jobs j ON j.id = o.job_id AND j.attempt = o.attempt
           WHERE o.job_id = ANY($1) AND o.byte_offset < $2 ORDER BY o.job_id, o.stream, o.byte_offset""",
        job_ids,
        most,
    )
    streams: dict[tuple[int | None, str], bytearray] = {}
    for row in rows:
        streams.setdefault((row["job_id"], row["stream"]), bytearray()).extend(row["data"])
    cut = await _cut(db, job_ids, most)

    def text(host: HostWork, stream: str) -> str:
        return bytes(streams.get((host.job_id, stream), b"")).decode("utf-8", "replace")

    return tuple(
        HostFacts(
            host=host.host,
            stdout=text(host, "stdout"),
            stderr=text(host, "stderr"),
            exit_code=host.exit_code,
            truncated={name: len(streams.get((host.job_id, name), b"")) for name in cut.get(host.job_id, ())},
        )
        for host in hosts
    )


async def _cut(db: Database, job_ids: Sequence[int], most: int) -> dict[int | None, list[Stream]]:
    """Which streams of which jobs went on after their first `most` bytes, or after what the job keeps."""
    rows = await db.fetch(
        """SELECT id, stdout_truncated OR stdout_length > $2 AS stdout,
                  stderr_truncated OR stderr_length > $2 AS stderr FROM jobs WHERE id = ANY($1)""",
        job_ids,
        most,
    )
    return {row["id"]: [name for name in STREAMS if row[name]] for row in rows}


@dataclass(frozen=True)
class GateFacts:
    """How a gate stands."""

    request_id: int
    status: str
    decision_reason: str
    deadline: Any
    title: str
    description: str


_GATE = "SELECT id, status, decision_reason, deadline, title, description FROM approval_requests"


async def gate_of_step(db: Database, instance_id: int, active: Active) -> GateFacts | None:
    """The approval request of one visit of a step."""
    row = await db.fetchrow(
        f"{_GATE} WHERE instance_id = $1 AND step_id = $2 AND visit = $3",
        instance_id,
        active.step,
        active.visit,
    )
    return None if row is None else GateFacts(*row.values())


async def gate(db: Database, request_id: int) -> GateFacts | None:
    """One approval request."""
    row = await db.fetchrow(f"{_GATE} WHERE id = $1", request_id)
    return None if row is None else GateFacts(*row.values())


async def pinned_script(
    db: Database, pinned: dict[int, int], ref: int | str
) -> tuple[int, int, Script] | None:
    """The script a step runs, at the pinned version: (id, version, script). A published workflow names it by
    its id."""
    if not isinstance(ref, int) or ref not in pinned:
        return None
    version = pinned[ref]
    return ref, version, await scripts.load_version(db, ref, version)
