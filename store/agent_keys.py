"""A new key of an agent: what is sealed to it from then on, only it can open.

The token alone does not change a key, or who has stolen one would be sent the credentials of the host's
next jobs. The agent proves that it has the key there is: it opens what was sealed to that.
"""

import hashlib
import hmac
import secrets

from agent.protocol import KeyReply, KeyRequest
from definitions.errors import NotPermitted
from definitions.permissions import Actor
from store import audit, sealing
from store.agents import read_public_key
from store.connection import Database


async def change(db: Database, agent: Actor, request: KeyRequest) -> KeyReply:
    """Take the new key if the proof is right; else ask for one. The same key again is accepted."""
    new = read_public_key(request.public_key)
    async with db.transaction() as tx:
        row = await tx.fetchrow(
            """SELECT public_key, next_public_key, key_proof_sha256 FROM agents
               WHERE id = $1 AND revoked_at IS NULL FOR NO KEY UPDATE""",
            agent.id,
        )
        if row is None:
            raise NotPermitted("This agent was decommissioned.")
        if row["public_key"] == new:
            return KeyReply(accepted=True)
        asked, given = row["key_proof_sha256"], _digest(request.proof or "")
        if row["next_public_key"] == new and asked is not None and hmac.compare_digest(asked, given):
            await tx.execute(
                """UPDATE agents SET public_key = $2, next_public_key = NULL, key_proof_sha256 = NULL
                   WHERE id = $1""",
                agent.id,
                new,
            )
            await audit.record(tx, agent, "agent.new_key", "host", agent.host_id, agent=agent.id)
            return KeyReply(accepted=True)
        proof = secrets.token_hex(32)
        await tx.execute(
            "UPDATE agents SET next_public_key = $2, key_proof_sha256 = $3 WHERE id = $1",
            agent.id,
            new,
            _digest(proof),
        )
    assert agent.host_id is not None
    assert agent.id is not None
    challenge = sealing.seal_proof(
        proof, row["public_key"], host_id=agent.host_id, agent_id=agent.id, new_key=request.public_key
    )
    return KeyReply(accepted=False, challenge=challenge)


def _digest(proof: str) -> bytes:
    return hashlib.sha256(proof.encode("utf-8", "surrogatepass")).digest()
