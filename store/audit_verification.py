"""Checking the audit trail against its chain and its signed checkpoints, and exporting all three.

Changes nothing. The rules are `definitions.audit_chain`; here rows are read, a batch at a time.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from definitions.audit_chain import Check, Checkpoint, Entry, Verdict
from definitions.permissions import Actor, require
from store import audit_points
from store.audit_chain import CHECKPOINT_SECONDS
from store.audit_keys import PublicKeys
from store.connection import Database, Row, Tx
from store.pages import Page, before, bounded, cut

_BATCH = 1000

_ENTRIES = """
SELECT c.seq, c.audit_id, a.id, a.at, a.actor_kind, a.actor_id, a.actor_name, a.action, a.subject_kind,
       a.subject_id, a.detail::text AS detail, encode(c.previous, 'hex') AS previous,
       encode(c.hash, 'hex') AS hash
FROM audit_chain c LEFT JOIN audit a ON a.id = c.audit_id WHERE c.seq > $1 ORDER BY c.seq LIMIT $2"""

UNSIGNED_SECONDS = 4 * CHECKPOINT_SECONDS
"""A row that is chained so long and not signed is one that the signer has refused, or there is none."""


async def verify(
    db: Database, actor: Actor, keys: PublicKeys | None, kept: Sequence[Checkpoint] = ()
) -> Verdict:
    """Go along the whole chain and name the first row that is wrong.

    `kept`: checkpoints from outside the database; only they show that the newest rows and everything
    that was signed of them were removed together.
    """
    require(actor, "audit.view")
    async with db.connection() as tx, tx.transaction(isolation="repeatable_read", readonly=True):
        return await look(tx, keys, kept)


async def look(tx: Tx, keys: PublicKeys | None, kept: Sequence[Checkpoint] = ()) -> Verdict:
    """`verify` as of the caller's transaction. A primitive: permission is the caller's."""
    points = await audit_points.every(tx)
    check = Check([*points, *kept], None if keys is None else keys.signed)
    after = 0
    while not check.found and (rows := await tx.fetch(_ENTRIES, after, _BATCH)):
        _go_along(check, rows)
        after = rows[-1]["seq"]
        await asyncio.sleep(0)
    await _look_beside(tx, check)
    if keys is not None:
        await _look_for_unsigned(tx, check)
    return check.finish()


def _go_along(check: Check, rows: Sequence[Row]) -> None:
    for row in rows:
        if row["id"] is None:
            check.wrong(f"Row {row['audit_id']} of the trail is gone.", row["seq"], row["audit_id"])
        else:
            check.take(_entry(row))


async def _look_beside(tx: Tx, check: Check) -> None:
    """A row that neither has a place nor waits for one was put in behind the writer's back."""
    stray = await tx.fetchval(
        """SELECT a.id FROM audit a WHERE NOT EXISTS (SELECT 1 FROM audit_chain c WHERE c.audit_id = a.id)
             AND NOT EXISTS (SELECT 1 FROM audit_unchained u WHERE u.audit_id = a.id) ORDER BY a.id LIMIT 1"""
    )
    if stray is not None:
        check.wrong(f"Row {stray} has no place in the chain and does not wait for one.", None, stray)


async def _look_for_unsigned(tx: Tx, check: Check) -> None:
    """Rows that should long be signed: the signer has found that the trail is not the one it knows."""
    seq = await tx.fetchval(
        """SELECT c.seq FROM audit_chain c JOIN audit a ON a.id = c.audit_id
           WHERE c.seq > $1 AND a.at < now() - make_interval(secs => $2) ORDER BY c.seq LIMIT 1""",
        check.signed_to,
        UNSIGNED_SECONDS,
    )
    if seq is not None:
        sentence = f"Rows from place {seq} on should have been signed long ago: see the log of the workers."
        check.wrong(sentence, seq)


async def export(db: Database, actor: Actor, *, limit: int = 1000, after: str | None = None) -> Page[Entry]:
    """Rows in the order of the chain, from the first on; the cursor is a place."""
    require(actor, "audit.view")
    limit = max(1, min(limit, _BATCH))
    rows = await db.fetch(_ENTRIES, 0 if after is None else before(after), limit + 1)
    entries = [_entry(row) for row in rows[:limit] if row["id"] is not None]
    return Page[Entry](items=entries, next=str(rows[limit - 1]["seq"]) if len(rows) > limit else None)


async def checkpoints(
    db: Database, actor: Actor, *, limit: int = 50, after: str | None = None
) -> Page[Checkpoint]:
    """Signed checkpoints, newest first."""
    require(actor, "audit.view")
    rows = await audit_points.newest_rows(db, before(after), bounded(limit) + 1)
    page = cut(rows, limit, lambda row: int(row["id"]))
    return Page[Checkpoint](items=[audit_points.checkpoint(row) for row in page.items], next=page.next)


def _entry(row: Row) -> Entry:
    fields: dict[str, Any] = {name: row[name] for name in Entry.model_fields}
    return Entry.model_construct(**fields)
