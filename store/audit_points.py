"""The signed checkpoints of the audit chain, as they are read. Changes nothing, and checks no signature.

Number and predecessor of one are not stored: they follow from the order, so that one that was taken out
changes those of all that come after it, and their signatures do not fit any more.
"""

from definitions.audit_chain import Checkpoint
from store.connection import Database, Row, Tx

_POINTS = """
SELECT id, number, previous, seq, encode(hash, 'hex') AS hash, at, key, encode(signature, 'hex') AS signature
FROM (SELECT *, row_number() OVER (ORDER BY id) AS number,
             coalesce(encode(lag(signature) OVER (ORDER BY id), 'hex'), '') AS previous
      FROM audit_checkpoints) numbered"""


async def every(tx: Tx) -> list[Checkpoint]:
    """All of them, in their order."""
    return [checkpoint(row) for row in await tx.fetch(f"{_POINTS} ORDER BY id")]


async def newest_rows(tx: Tx | Database, before: int, limit: int) -> list[Row]:
    """Rows for `checkpoint`, with their `id`, the newest first."""
    return await tx.fetch(f"{_POINTS} WHERE id < $1 ORDER BY id DESC LIMIT $2", before, limit)


async def newest(tx: Tx) -> Checkpoint | None:
    """The last one."""
    row = await tx.fetchrow(f"{_POINTS} ORDER BY id DESC LIMIT 1")
    return None if row is None else checkpoint(row)


async def contains(tx: Tx, point: Checkpoint) -> bool:
    """Whether the trail still has this checkpoint in its place, and the row it stands on with its hash."""
    row = await tx.fetchrow(
        f"""SELECT p.signature, encode(c.hash, 'hex') AS hash FROM ({_POINTS}) p
            JOIN audit_chain c ON c.seq = p.seq WHERE p.number = $1""",
        point.number,
    )
    return row is not None and (row["signature"], row["hash"]) == (point.signature, point.hash)


def checkpoint(row: Row) -> Checkpoint:
    """What a row says."""
    return Checkpoint(**{name: row[name] for name in Checkpoint.model_fields})
