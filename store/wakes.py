"""Waking an instance: the one way any fact tells the engine that it has happened.

`wake_seq` rises in the transaction that writes the fact; the engine parks only if it has not
risen since it looked, and the keeper wakes every parked instance whose counter has. So a lost
notification, or a wake that arrives before the park, costs seconds and never an instance.
"""

from store import channels
from store.connection import Tx


async def wake_instance(tx: Tx, instance_id: int) -> None:
    """Note, in the caller's transaction, that something the instance waits for has happened."""
    await tx.execute(
        f"""UPDATE instances SET wake_seq = wake_seq + 1 WHERE id = $1
           RETURNING pg_notify($2, id::text), {channels.telling("instance", "id")}""",
        instance_id,
        channels.INSTANCES,
    )


async def notify(tx: Tx, channel: str, payload: str = "") -> None:
    """NOTIFY when the transaction commits."""
    await tx.execute("SELECT pg_notify($1, $2)", channel, payload)
