"""The audit trail: one row for every change, written in the transaction of the change."""

from typing import Any

from definitions.permissions import Actor
from store.connection import Tx


async def record(
    tx: Tx, actor: Actor, action: str, subject_kind: str, subject_id: int | None, **detail: Any
) -> None:
    """Write who did what to which thing. `detail` holds ids, names and counts, never a secret."""
    await tx.execute(
        """INSERT INTO audit (actor_kind, actor_id, actor_name, action, subject_kind, subject_id, detail)
           VALUES ($1, $2, $3, $4, $5, $6, $7)""",
        actor.kind,
        actor.id,
        actor.name,
        action,
        subject_kind,
        subject_id,
        detail,
    )
