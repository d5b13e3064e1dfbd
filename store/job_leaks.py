"""Secrets that stood in a job's output, where its agent has replaced them: audited once for an attempt.

What an agent saw counts however late it says so, also of an attempt that the server has ended meanwhile.
A credential that was printed is out of the vault's hands, so Opsgate has it replaced whatever its identity
says: `rotate_after_use` is about one that nobody has seen. One that Opsgate can't have replaced, or has not
when its turn is over (the identity names another account by then), is told to those who look after vaults,
once for a checkout. Holds nothing of what was printed.
"""

from collections.abc import Mapping

from agent.protocol import Stream, StreamReport
from definitions.identity import Identity
from definitions.permissions import SYSTEM, Actor
from store import audit, identities, job_endings, notices
from store.connection import Database, Row, Tx
from store.identities import IDENTITIES

_SECRET, _CREDENTIAL = "job.secret_redacted", "job.credential_redacted"

_UNTOLD = f"""SELECT DISTINCT ON (c.id) i.id AS identity_id, i.name AS identity, c.id AS checkout,
        c.identity_version AS version, p.subject_id AS job, p.actor_name AS host
    FROM identities i
    JOIN audit r ON r.subject_kind = 'identity' AND r.subject_id = i.id AND r.action = 'credential.read'
    JOIN checkouts c ON c.id = (r.detail ->> 'checkout')::bigint
    JOIN audit p ON p.subject_kind = 'job' AND p.subject_id = (r.detail ->> 'job')::bigint
        AND p.action = '{_CREDENTIAL}' AND p.detail ->> 'attempt' = r.detail ->> 'attempt'
    WHERE i.id = $1 AND (i.rotated_at IS NULL OR r.at > i.rotated_at) AND NOT EXISTS (
        SELECT FROM audit t WHERE t.subject_kind = 'identity' AND t.subject_id = i.id
            AND t.action = 'identity.leaked' AND t.detail ->> 'checkout' = c.id::text)
    ORDER BY c.id, p.id"""
"""Of each checkout the first job that printed what it was given, if it was given that since the identity has
its credential: what an agent says late is of one that is over."""


async def note(tx: Tx, agent: Actor, job: Row, attempt: int, streams: Mapping[Stream, StreamReport]) -> None:
    """Note what an agent says of an attempt of the locked job; nothing if the attempt was never its own."""
    leaked = any(part.credential_redacted for part in streams.values())
    hits: dict[str, int] = {stream: part.redacted for stream, part in streams.items() if part.redacted}
    if not (leaked or hits) or not await _was_its_own(tx, agent, job, attempt):
        return
    if leaked:
        await _leak(tx, agent, job["id"], attempt)
    if hits and not await _noted(tx, _SECRET, job["id"], attempt):
        await audit.record(tx, agent, _SECRET, "job", job["id"], attempt=attempt, **hits)


async def printed_credential(db: Database, agent: Actor, job_id: int, attempt: int) -> None:
    """Note that an attempt which has not ended yet has printed the credential it runs by."""
    async with db.transaction() as tx:
        job = await job_endings.lock(tx, job_id)
        if job is not None and await _was_its_own(tx, agent, job, attempt):
            await _leak(tx, agent, job_id, attempt)


async def _leak(tx: Tx, agent: Actor, job_id: int, attempt: int) -> None:
    given = await _given(tx, job_id, attempt)
    if given is None or await _noted(tx, _CREDENTIAL, job_id, attempt):
        return
    why = _why(job_id, agent.name)
    # Locks the identity: of two jobs of a checkout one is the first.
    marked = await identities.mark_for_rotation(tx, given["identity_id"], why)
    rotates = marked and not (await _newest(tx, given)).moved_from(await _printed(tx, given))
    if not rotates and not await _told(tx, given["identity_id"], given["checkout"]):
        await _tell(tx, agent, given, job_id, why)
    detail = {"identity": given["identity"], "checkout": given["checkout"], "attempt": attempt}
    await audit.record(tx, agent, _CREDENTIAL, "job", job_id, **detail)


async def untold(tx: Tx, identity_id: int) -> list[Row]:
    """What jobs have printed of the credential that an identity has, and nobody was told: it was to be
    replaced. The caller has locked the identity's row."""
    return await tx.fetch(_UNTOLD, identity_id)


async def tell_unreplaced(tx: Tx, identity_id: int, replaced: Identity | None = None) -> None:
    """Tell of what was printed and is not replaced after all. `replaced`: whose credential is; what it was of
    when it was printed may be another account. The caller has locked the identity's row, and notes only
    afterwards that its turn is over."""
    for given in await untold(tx, identity_id):
        if replaced is None or replaced.moved_from(await _printed(tx, given)):
            await _tell(tx, SYSTEM, given, given["job"], _why(given["job"], given["host"]))


async def _printed(tx: Tx, given: Row) -> Identity:
    """What the identity was when its credential was given, and printed."""
    return await IDENTITIES.load_version(tx, given["identity_id"], given["version"])


async def _newest(tx: Tx, given: Row) -> Identity:
    row = await IDENTITIES.find(tx, given["identity_id"])
    return await IDENTITIES.load_version(tx, row["id"], row["version"])


def _why(job_id: int, host: str) -> str:
    return f"Job {job_id} of {host} printed it."


async def _tell(tx: Tx, actor: Actor, given: Row, job_id: int, why: str) -> None:
    """`given`: whose credential it is, at which version, and by which checkout."""
    await notices.tell(tx, "identity.leaked", given["identity_id"], job_id=job_id)
    detail = {"name": given["identity"], "checkout": given["checkout"], "why": why}
    await audit.record(tx, actor, "identity.leaked", "identity", given["identity_id"], **detail)


async def _was_its_own(tx: Tx, agent: Actor, job: Row, attempt: int) -> bool:
    """Whether this agent had the attempt, which may be over, and the job's next one another's."""
    if (job["agent_id"], job["attempt"]) == (agent.id, attempt):
        return True
    found: bool = await tx.fetchval(
        "SELECT EXISTS (SELECT FROM job_attempts WHERE job_id = $1 AND attempt = $2 AND agent_id = $3)",
        job["id"],
        attempt,
        agent.id,
    )
    return found


async def _given(tx: Tx, job_id: int, attempt: int) -> Row | None:
    """Whose credential the attempt was given, and by which checkout: the job's next attempt may have
    another. None: it was given none."""
    return await tx.fetchrow(
        """SELECT i.id AS identity_id, i.name AS identity, (a.detail ->> 'checkout')::bigint AS checkout,
               (a.detail ->> 'version')::int AS version
           FROM jobs j JOIN checkouts c ON c.id = j.checkout_id JOIN identities i ON i.id = c.identity_id
           JOIN audit a ON a.subject_kind = 'identity' AND a.subject_id = i.id
           WHERE j.id = $1 AND a.action = 'credential.read' AND a.detail ->> 'job' = $1::bigint::text
             AND a.detail ->> 'attempt' = $2::int::text ORDER BY a.id DESC LIMIT 1""",
        job_id,
        attempt,
    )


async def _noted(tx: Tx, action: str, job_id: int, attempt: int) -> bool:
    found: bool = await tx.fetchval(
        """SELECT EXISTS (SELECT FROM audit WHERE subject_kind = 'job' AND subject_id = $1 AND action = $2
               AND detail ->> 'attempt' = $3::int::text)""",
        job_id,
        action,
        attempt,
    )
    return found


async def _told(tx: Tx, identity_id: int, checkout_id: int) -> bool:
    found: bool = await tx.fetchval(
        """SELECT EXISTS (SELECT FROM audit WHERE subject_kind = 'identity' AND subject_id = $1
               AND action = 'identity.leaked' AND detail ->> 'checkout' = $2::bigint::text)""",
        identity_id,
        checkout_id,
    )
    return found
