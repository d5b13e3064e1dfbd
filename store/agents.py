"""Agents: how a host's agent gets its identity, and how it is recognised.

Who an agent is comes from its token alone, never from what it says. A name enrols once; enrolling
it again takes an operator's yes (`hosts.allow_reenrolment`), and ends the agent there was.
"""

import base64
import binascii
from collections.abc import Mapping

from agent.protocol import EnrolReply, EnrolRequest
from definitions.errors import Invalid, NotAuthenticated, NotPermitted
from definitions.permissions import Actor
from definitions.problems import Problem
from store import audit, job_endings, org_secrets, shown_once
from store.connection import Database, Tx
from store.names import checked

KEY_BYTES = 32


async def enrol(db: Database, request: EnrolRequest) -> EnrolReply:
    """Let a host join, for one use of an organisation secret. Nothing is used up when it is refused."""
    token = shown_once.fresh("oga_")
    async with db.transaction() as tx:
        secret_id = await org_secrets.spend(tx, request.org_secret)
        if secret_id is None:
            raise NotAuthenticated("The organisation secret is not known, is used up, or has expired.")
        name = checked(request.hostname, "host")
        host_id = await _host(tx, name, request.os)
        await note_host(tx, host_id, request.facts, request.os, request.arch)
        agent_id: int = await tx.fetchval(
            """INSERT INTO agents (host_id, token_sha256, public_key, version)
               VALUES ($1, $2, $3, $4) RETURNING id""",
            host_id,
            shown_once.digest(token),
            read_public_key(request.public_key),
            request.version[:100],
        )
        actor = Actor("agent", agent_id, name, host_id=host_id)
        await audit.record(tx, actor, "agent.enrol", "host", host_id, agent=agent_id, org_secret=secret_id)
    return EnrolReply(agent_id=agent_id, host_id=host_id, token=token)


async def authenticate(db: Database, token: str) -> Actor:
    """The agent with this token: `NotAuthenticated` if unknown, `NotPermitted` once it was replaced."""
    row = await db.fetchrow(
        """SELECT a.id, a.host_id, a.revoked_at, h.name, h.decommissioned_at
           FROM agents a JOIN hosts h ON h.id = a.host_id WHERE a.token_sha256 = $1""",
        shown_once.digest(token),
    )
    if row is None:
        raise NotAuthenticated("The agent's token is not known; enrol again.")
    if row["revoked_at"] is not None or row["decommissioned_at"] is not None:
        raise NotPermitted(f"This agent of {row['name']} was decommissioned.")
    return Actor("agent", row["id"], row["name"], host_id=row["host_id"])


async def revoke_of_host(tx: Tx, host_id: int, why: str) -> list[int]:
    """End the agent of a host; its token is refused, what it was doing has failed: the ids of these jobs."""
    agent_id = await tx.fetchval(
        "UPDATE agents SET revoked_at = now() WHERE host_id = $1 AND revoked_at IS NULL RETURNING id", host_id
    )
    return [] if agent_id is None else await job_endings.release(tx, agent_id, (), why)


async def note_host(
    tx: Tx, host_id: int | None, facts: Mapping[str, str], os: str | None, arch: str | None
) -> None:
    """Keep what an agent says of its host, which may be anything; None: as it was."""
    kept = {_storable(key)[:100]: _storable(value)[:1000] for key, value in list(facts.items())[:100]}
    await tx.execute(
        "UPDATE hosts SET facts = $2, os = coalesce($3, os), arch = coalesce($4, arch) WHERE id = $1",
        host_id,
        kept,
        os,
        None if arch is None else _storable(arch)[:100],
    )


def _storable(text: str) -> str:
    """Without NUL and half characters, which can't be stored."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


async def _host(tx: Tx, name: str, os: str) -> int:
    """The host of this name: a new one, or one that may enrol again."""
    created: int | None = await tx.fetchval(
        "INSERT INTO hosts (name, os) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING RETURNING id", name, os
    )
    if created is not None:
        return created
    row = await tx.fetchrow(
        "SELECT id, coalesce(reenrol_until > now(), false) AS allowed FROM hosts WHERE name = $1 FOR UPDATE",
        name,
    )
    if row is None or not row["allowed"]:
        raise NotPermitted(
            f"There is already a host {name}. Somebody with hosts.manage must allow it to enrol again first."
        )
    host_id: int = row["id"]
    await tx.execute("UPDATE hosts SET reenrol_until = NULL, decommissioned_at = NULL WHERE id = $1", host_id)
    await revoke_of_host(tx, host_id, "The host was enrolled again while it ran.")
    return host_id


def read_public_key(text: str) -> bytes:
    """The key in a text of an agent's; raises `Invalid`."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES or not any(key):
        raise Invalid(
            "The public key is not an X25519 key.",
            [
                Problem(
                    pointer="/public_key",
                    code="bad-public-key",
                    message="An X25519 public key is 32 bytes in standard base64.",
                    fix="Let the agent make its key pair anew.",
                )
            ],
        )
    return key
