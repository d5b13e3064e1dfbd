"""The outbox: what Prefect or people still have to be told, written with the fact that causes it.

The keeper carries the rows out and may do one twice; every kind is idempotent.
Kinds: `deploy_workflow {workflow_id}`, `notice {event, subject_id, job_id?}`, `show_decision {request_id}`.
"""

from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from store import channels
from store.connection import Database, Tx
from store.wakes import notify

Kind = Literal["deploy_workflow", "notice", "show_decision"]


class Errand(NamedTuple):
    """One row to carry out."""

    id: int
    kind: Kind
    payload: dict[str, Any]
    attempts: int


async def add(tx: Tx, kind: Kind, payload: dict[str, Any], not_before: datetime | None = None) -> None:
    """Ask the keeper for something, in the caller's transaction; `not_before`: not yet."""
    await tx.execute(
        "INSERT INTO outbox (kind, payload, not_before) VALUES ($1, $2, coalesce($3, now()))",
        kind,
        payload,
        not_before,
    )
    await notify(tx, channels.OUTBOX)


async def due(db: Database, kind: Kind, limit: int = 50) -> list[Errand]:
    """The oldest errands of a kind that are due. Only the active keeper asks."""
    rows = await db.fetch(
        """SELECT id, kind, payload, attempts FROM outbox
           WHERE done_at IS NULL AND not_before <= now() AND kind = $2 ORDER BY id LIMIT $1""",
        limit,
        kind,
    )
    return [Errand(row["id"], row["kind"], row["payload"], row["attempts"]) for row in rows]


async def done(db: Database | Tx, errand: Errand) -> None:
    """The errand has been carried out."""
    await db.execute("UPDATE outbox SET done_at = now() WHERE id = $1", errand.id)


async def postpone(db: Database, errand: Errand, error: str) -> datetime:
    """It failed; try again later, each time twice as long, at most a minute apart."""
    delay = timedelta(seconds=min(60, 2**errand.attempts))
    value: datetime = await db.fetchval(
        """UPDATE outbox SET attempts = attempts + 1, last_error = $2, not_before = now() + $3
           WHERE id = $1 RETURNING not_before""",
        errand.id,
        error[:500],
        delay,
    )
    return value
