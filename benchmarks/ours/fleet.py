"""Hosts with enrolled agents, and jobs for them, written as rows: thousands of each in a moment.

What enrolling and dispatching write is written here as they write it; what is measured or tested
begins behind both.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from agent import __version__
from agent.payloads import CommandPayload
from store import channels, shown_once
from store.connection import Database


@dataclass(frozen=True)
class Seat:
    """A host, and what its agent needs to speak for it."""

    host_id: int
    agent_id: int
    name: str
    token: str


async def seats(db: Database, count: int, prefix: str) -> list[Seat]:
    """So many new hosts called `PREFIX-n`, each with an enrolled agent."""
    tokens = [shown_once.fresh("oga_") for _ in range(count)]
    rows = await db.fetch(
        """WITH made AS (
               INSERT INTO hosts (name, os) SELECT $1 || '-' || n, 'linux' FROM generate_series(1, $2) AS n
               RETURNING id, name),
           numbered AS (SELECT id, name, row_number() OVER (ORDER BY id) AS n FROM made),
           enrolled AS (
               INSERT INTO agents (host_id, token_sha256, public_key, version)
               SELECT m.id, t.sha256, t.key, $5 FROM numbered m
               JOIN unnest($3::bytea[], $4::bytea[]) WITH ORDINALITY AS t (sha256, key, n) ON t.n = m.n
               RETURNING id, host_id, token_sha256)
           SELECT e.host_id, e.id AS agent_id, m.name, e.token_sha256
           FROM enrolled e JOIN made m ON m.id = e.host_id ORDER BY e.host_id""",
        prefix,
        count,
        [shown_once.digest(token) for token in tokens],
        [os.urandom(32) for _ in tokens],
        __version__,
    )
    by_digest = {shown_once.digest(token): token for token in tokens}
    return [
        Seat(row["host_id"], row["agent_id"], row["name"], by_digest[row["token_sha256"]]) for row in rows
    ]


async def queue(db: Database, hosts: Sequence[int], count: int, command: str = "true") -> list[int]:
    """So many jobs for the hosts in turn; `{n}` in the command is the job's number, from 1. Their ids.

    Priorities and due times are spread, so that the order of claiming is not that of the ids.
    """
    payload = CommandPayload(command="").model_dump(mode="json")
    rows = await db.fetch(
        """INSERT INTO jobs (type, host_id, payload, timeout_seconds, priority, scheduled_at, created_by_name)
           SELECT 'command', ($1::bigint[])[1 + n % cardinality($1::bigint[])],
                  jsonb_set($4::jsonb, '{command}', to_jsonb(replace($3, '{n}', n::text))),
                  $5, (n * 7 / 3) % 4, now() - (n * 31 % 1000) * interval '1 second', 'benchmarks'
           FROM generate_series(1, $2) AS n RETURNING id""",
        list(hosts),
        count,
        command,
        payload,
        payload["timeout_seconds"],
    )
    await db.execute(
        "SELECT pg_notify($1, host::text) FROM unnest($2::bigint[]) AS host", channels.JOBS, hosts
    )
    return [row["id"] for row in rows]


async def finished(db: Database, seat: Seat, count: int) -> None:
    """So many jobs of this host that have ended, with their history, as years of use leave them."""
    payload = CommandPayload(command="true").model_dump(mode="json")
    await db.execute(
        """WITH done AS (
               INSERT INTO jobs (type, host_id, payload, timeout_seconds, priority, scheduled_at,
                                 created_by_name, status, agent_id, request_id, claimed_at, started_at,
                                 ended_at, outcome, exit_code)
               SELECT 'command', $1, $4::jsonb, 300, n % 4, now() - n * interval '1 minute',
                      'benchmarks', 'completed', $2, 'r' || n, now(), now(), now(), 'exited', 0
               FROM generate_series(1, $3) AS n RETURNING id)
           INSERT INTO job_attempts (job_id, attempt, agent_id, status, outcome, exit_code, claimed_at,
                                     started_at, ended_at)
           SELECT id, 1, $2, 'completed', 'exited', 0, now(), now(), now() FROM done""",
        seat.host_id,
        seat.agent_id,
        count,
        payload,
    )
