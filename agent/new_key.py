"""Gives the agent a new key now and then, so that one that leaks opens little: makes it, tells the server.

The new key is on disk before the server hears of it, and the old one opens until the agent has ended:
whatever was sealed to either, and whenever the agent is killed, it is opened.
"""

import asyncio
import base64
import logging
from pathlib import Path

from agent import identity
from agent.connection import Answer, Connection, ServerAway
from agent.protocol import KeyRequest
from agent.sealed import CannotOpen, Unsealer

log = logging.getLogger(__name__)

_LOOK_SECONDS = 3600.0
_DAY = 86_400.0


async def keep_fresh(folder: Path, connection: Connection, unsealer: Unsealer, days: float) -> None:
    """Replace the key whenever it is so many days old, until cancelled; 0: never."""
    while True:
        try:
            if identity.next_key(folder) is not None or (
                days > 0 and identity.key_age_seconds(folder) >= days * _DAY
            ):
                await change(folder, connection, unsealer)
        except (ServerAway, Answer, CannotOpen, OSError) as error:
            log.warning("The agent keeps its key for now: %s", error)
        await asyncio.sleep(min(_LOOK_SECONDS, days * _DAY) if days > 0 else _LOOK_SECONDS)


async def change(folder: Path, connection: Connection, unsealer: Unsealer) -> None:
    """Make a new key, or take the one that was begun with, and have the server seal to it."""
    key = identity.next_key(folder) or identity.make_next_key(folder)
    unsealer.also(key)
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode("ascii")
    reply = await connection.key(KeyRequest(public_key=public))
    if not reply.accepted and reply.challenge is not None:
        proof = unsealer.prove(reply.challenge, public)
        reply = await connection.key(KeyRequest(public_key=public, proof=proof))
    if not reply.accepted:
        raise CannotOpen("The server did not take the proof.")
    identity.settle_next_key(folder)
    log.info("The agent has a new key")
