"""Rows and sealed values that nothing needs any more: purged by the keeper; no table grows for ever.

What people may look up (instances, jobs, output, decisions, audit) is never purged here.
"""

from store.connection import Database
from store.sealed_values import ERASE_OLD

_PURGES = (
    "DELETE FROM outbox WHERE done_at < now() - interval '7 days'",
    "DELETE FROM idempotency_keys WHERE created_at < now() - interval '1 day'",
    "DELETE FROM sessions WHERE expires_at < now()",
    "DELETE FROM sign_in_failures WHERE at < now() - interval '1 day'",
    """DELETE FROM notice_deliveries WHERE created_at < now() - interval '30 days'
       AND (sent_at IS NOT NULL OR dead_at IS NOT NULL)""",
    ERASE_OLD,
)
"""Errands stay a week, notices a month, to be looked at; the others as long as they count."""


async def purge(db: Database) -> None:
    """Delete what is over; each kind in a transaction of its own."""
    for sql in _PURGES:
        await db.execute(sql)
