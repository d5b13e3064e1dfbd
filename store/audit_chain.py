"""The one writer of the audit chain: puts rows into their places, signs checkpoints.

A row waits in `audit_unchained` from the transaction that wrote it. Whoever holds the advisory lock
takes what is visible there, whatever its number: a row of a transaction that commits late gets a later
place and is never passed over. A chain in the transaction itself would let one vote wait for another.
"""

from datetime import datetime

import structlog

from definitions.audit_chain import BEGINNING, Checkpoint, hash_of
from store import audit_points
from store.audit_keys import Signer
from store.connection import Database, Tx

log = structlog.get_logger("opsgate.audit")

_LOCK = 0x6F706175
"""Advisory lock: one writer."""

BATCH = 1000
"""Rows of one transaction."""

CHECKPOINT_ROWS, CHECKPOINT_SECONDS = 1000, 300
"""A checkpoint is due after so many rows, or when the oldest row without one is so old."""


async def extend(db: Database, signer: Signer | None, *, checkpoint_now: bool = False) -> int:
    """Chain the rows that wait, at most BATCH, and sign a checkpoint when one is due; returns how many.

    Does nothing while another process is at it. `checkpoint_now`: also one that is not due yet.
    """
    async with db.transaction() as tx:
        if not await tx.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK):
            return 0
        chained = await _chain(tx)
        signed = None if signer is None else await _sign(tx, signer, checkpoint_now)
    if signer is not None and signed is not None:
        try:  # afterwards: what was never committed must not be missed
            signer.remember(signed)
        except OSError as error:
            log.error("what was signed last can't be kept beside the audit key", error=repr(error))
    return chained


async def _chain(tx: Tx) -> int:
    rows = await tx.fetch(
        """WITH taken AS (
               DELETE FROM audit_unchained WHERE audit_id IN (
                   SELECT audit_id FROM audit_unchained ORDER BY audit_id LIMIT $1)
               RETURNING audit_id)
           SELECT a.at, a.id, a.actor_kind, a.actor_id, a.actor_name, a.action, a.subject_kind, a.subject_id,
                  a.detail::text
           FROM taken JOIN audit a ON a.id = taken.audit_id ORDER BY a.id""",
        BATCH,
    )
    if not rows:
        return 0
    seq, head = await _head(tx)
    links: list[tuple[int, int, bytes, bytes]] = []
    for row in rows:
        at, *content = row
        seq, previous = seq + 1, head
        head = hash_of(previous, seq, content, at)
        links.append((seq, row["id"], bytes.fromhex(previous), bytes.fromhex(head)))
    await tx.execute(
        """INSERT INTO audit_chain (seq, audit_id, previous, hash)
           SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[])""",
        *map(list, zip(*links, strict=True)),
    )
    return len(rows)


async def _head(tx: Tx) -> tuple[int, str]:
    row = await tx.fetchrow("SELECT seq, hash FROM audit_chain ORDER BY seq DESC LIMIT 1")
    return (0, BEGINNING) if row is None else (row["seq"], row["hash"].hex())


async def _sign(tx: Tx, signer: Signer, now: bool) -> Checkpoint | None:
    """The checkpoint that was due; none where the trail is not the one that was signed before."""
    last = await audit_points.newest(tx)
    signed = 0 if last is None else last.seq
    seq, head = await _head(tx)
    if seq <= signed:
        return None
    old = await tx.fetchval(
        """SELECT a.at < now() - make_interval(secs => $2)
           FROM audit_chain c JOIN audit a ON a.id = c.audit_id WHERE c.seq = $1""",
        signed + 1,
        CHECKPOINT_SECONDS,
    )
    if not (now or old or seq - signed >= CHECKPOINT_ROWS):
        return None
    for known in (last, signer.remembered()):
        if known is not None and not await audit_points.contains(tx, known):
            log.error(
                "the audit trail is not the one that was signed before: nothing is signed until somebody has "
                "looked at it (opsgate audit verify; docs/audit.md)",
                checkpoint=known.number,
                place=known.seq,
            )
            return None
    at: datetime = await tx.fetchval("SELECT clock_timestamp()")
    point = signer.sign(last, seq, head, at)
    await tx.execute(
        "INSERT INTO audit_checkpoints (seq, hash, at, key, signature) VALUES ($1, $2, $3, $4, $5)",
        point.seq,
        bytes.fromhex(point.hash),
        point.at,
        point.key,
        bytes.fromhex(point.signature),
    )
    return point
