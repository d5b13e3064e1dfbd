"""An agent replaces its key by proving that it has the one there is; its token alone does not do."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.protocol import KeyReply, KeyRequest
from agent.sealed import CannotOpen
from definitions.errors import Invalid
from definitions.permissions import Actor
from store import agent_keys
from store.connection import Database
from tests.store.jobs.conftest import admin as admin
from tests.store.jobs.test_secrets import Host, enrol


def public(key: X25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


async def kept(db: Database) -> str:
    return base64.b64encode(await db.fetchval("SELECT public_key FROM agents")).decode()


async def ask(db: Database, host: Host, key: str, proof: str | None = None) -> KeyReply:
    return await agent_keys.change(db, host.fake.actor, KeyRequest(public_key=key, proof=proof))


async def test_who_opens_the_challenge_has_the_new_key_taken(db: Database, admin: Actor) -> None:
    host, new = await enrol(db, admin, "web-1"), public(X25519PrivateKey.generate())
    asked = await ask(db, host, new)
    assert not asked.accepted
    assert await kept(db) != new
    proof = host.unsealer.prove(asked.challenge or "", new)
    assert (await ask(db, host, new, proof)).accepted
    assert await kept(db) == new
    assert (await ask(db, host, new)).accepted  # the answer was lost
    assert await db.fetchval("SELECT count(*) FROM audit WHERE action = 'agent.new_key'") == 1


async def test_a_stolen_token_changes_no_key(db: Database, admin: Actor) -> None:
    host, thiefs = await enrol(db, admin, "web-1"), public(X25519PrivateKey.generate())
    before = await kept(db)
    thief = Host(host.fake, X25519PrivateKey.generate())
    asked = await ask(db, thief, thiefs)
    with pytest.raises(CannotOpen):
        thief.unsealer.prove(asked.challenge or "", thiefs)
    for guess in ("", "0" * 64):
        assert not (await ask(db, thief, thiefs, guess)).accepted
    assert await kept(db) == before


async def test_a_proof_is_for_one_key_and_used_once(db: Database, admin: Actor) -> None:
    host = await enrol(db, admin, "web-1")
    first, other = (public(X25519PrivateKey.generate()) for _ in range(2))
    challenge = (await ask(db, host, first)).challenge or ""
    with pytest.raises(CannotOpen):
        host.unsealer.prove(challenge, other)
    proof = host.unsealer.prove(challenge, first)
    assert not (await ask(db, host, other, proof)).accepted
    assert not (await ask(db, host, first, proof)).accepted  # asking for the other has ended it


@pytest.mark.parametrize("text", ["", "x", base64.b64encode(bytes(32)).decode()])
async def test_what_is_no_key_is_refused(db: Database, admin: Actor, text: str) -> None:
    with pytest.raises(Invalid):
        await ask(db, await enrol(db, admin, "web-1"), text)
