"""The engine's own host: `@engine`, whose jobs a worker runs in the place of an agent.

It has rows like any host and agent, so that claims, reports, output, cancels and deadlines are those of
every job. One worker at a time is its agent, for as long as it polls; what another had started when it
fell silent has failed, for nobody can know how far it came: never is it run again.
"""

import os
import sys
from dataclasses import dataclass
from datetime import datetime

from definitions.catalogue import ENGINE
from definitions.permissions import Actor
from store import job_endings
from store.connection import Database, Tx


@dataclass(frozen=True)
class Sign:
    """That the worker whose place it is lives: the same again means that it has not polled since."""

    boot_id: str
    last_seen_at: datetime | None


async def sign(db: Database) -> Sign | None:
    """The newest sign of life of the worker that is the agent of `@engine`; None: the place is free."""
    row = await db.fetchrow(
        """SELECT boot_id, last_seen_at FROM agents WHERE revoked_at IS NULL AND boot_id IS NOT NULL
             AND host_id = (SELECT id FROM hosts WHERE name = $1)""",
        ENGINE,
    )
    return None if row is None else Sign(**row)


async def take_over(db: Database, boot_id: str, public_key: bytes, silent: Sign | None) -> Actor | None:
    """Become the agent of `@engine`: in a free place, or in that of a worker whose last sign of life is
    `silent` still; None if there is another. `boot_id`: of this time only.

    The age of a sign says nothing: after an outage of the store all are old, and the worker lives.
    `public_key`: X25519, what the secret values of its jobs are sealed to.
    """
    async with db.transaction() as tx:
        host_id = await _host(tx)
        row = await tx.fetchrow(
            """SELECT id, boot_id, last_seen_at FROM agents WHERE host_id = $1 AND revoked_at IS NULL
               FOR NO KEY UPDATE""",
            host_id,
        )
        taken = row is not None and row["boot_id"] is not None
        if row is not None and taken and Sign(row["boot_id"], row["last_seen_at"]) != silent:
            return None
        if row is None:
            # Nobody has a token with this digest: only a worker is this agent, and never over HTTP.
            agent_id = await tx.fetchval(
                """INSERT INTO agents (host_id, token_sha256, public_key, version)
                   VALUES ($1, $2, $3, 'engine') RETURNING id""",
                host_id,
                os.urandom(32),
                public_key,
            )
        else:
            agent_id = row["id"]
            await job_endings.release(tx, agent_id, (), "The worker that ran it is gone.")
        await tx.execute(
            """UPDATE agents SET previous_boot_id = boot_id, boot_id = $2, public_key = $3,
                   last_seen_at = clock_timestamp() WHERE id = $1""",
            agent_id,
            boot_id,
            public_key,
        )
        return Actor("agent", agent_id, ENGINE, host_id=host_id)


async def leave(db: Database, agent: Actor, boot_id: str) -> None:
    """Stop being its agent, in good order: another worker may take over at once."""
    async with db.transaction() as tx:
        mine = await tx.fetchval(
            "UPDATE agents SET boot_id = NULL WHERE id = $1 AND boot_id = $2 RETURNING true",
            agent.id,
            boot_id,
        )
        if mine:
            await job_endings.release(tx, agent.id, (), "The worker was stopped while it ran.")


async def _host(tx: Tx) -> int:
    """Its host's id; the row is made once, when a worker is first allowed to run its jobs."""
    os_name = "windows" if sys.platform == "win32" else sys.platform
    found: int | None = await tx.fetchval("SELECT id FROM hosts WHERE name = $1", ENGINE)
    if found is None:
        made = "INSERT INTO hosts (name, os) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING"
        await tx.execute(made, ENGINE, os_name)
        found = await tx.fetchval("SELECT id FROM hosts WHERE name = $1", ENGINE)
    assert found is not None
    return found
