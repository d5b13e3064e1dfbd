"""The engine's processes: a row and a heartbeat for each.

A worker whose heartbeat is older than `LEASE_SECONDS` is dead to everybody else: its leases
may be taken over. The epoch of a lease (see `leases`) keeps it from committing if it was only slow.
"""

from uuid import UUID

from store.connection import Database

HEARTBEAT_SECONDS = 1.0
LEASE_SECONDS = 5.0
"""Five missed heartbeats. Kill to running again was 4 s with three in the prototype; five stands
a busy two-core machine."""


async def register(db: Database, worker_id: UUID, name: str) -> None:
    """Make the process known, alive from now."""
    await db.execute("INSERT INTO workers (id, name) VALUES ($1, $2)", worker_id, name)


async def heartbeat(db: Database, worker_id: UUID) -> None:
    """Renew every lease of this process at once."""
    await db.execute("UPDATE workers SET heartbeat_at = now() WHERE id = $1", worker_id)


async def stop(db: Database, worker_id: UUID) -> None:
    """The process ends in good order: its leases are free at once."""
    await db.execute("UPDATE workers SET stopped_at = now() WHERE id = $1", worker_id)


async def live(db: Database) -> int:
    """How many processes are alive."""
    count: int = await db.fetchval(
        f"SELECT count(*) FROM workers WHERE stopped_at IS NULL "
        f"AND heartbeat_at > now() - interval '{LEASE_SECONDS} seconds'"
    )
    return count


async def forget_old(db: Database) -> None:
    """Drop the rows of processes that ended a day ago and hold nothing."""
    await db.execute(
        """DELETE FROM workers w WHERE heartbeat_at < now() - interval '1 day'
           AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.lease_holder = w.id)"""
    )
