"""What was sent, what waits, and what was given up: looked at, and tried again by a person."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from definitions.errors import Conflict, NotFound
from definitions.permissions import Actor
from store import audit, channels
from store.connection import Database
from store.notice_channels import MANAGE
from store.pages import Page, before, bounded, cut
from store.wakes import notify

State = Literal["waiting", "sent", "dead"]

_STATE = (
    "CASE WHEN d.sent_at IS NOT NULL THEN 'sent' WHEN d.dead_at IS NOT NULL THEN 'dead' ELSE 'waiting' END"
)

_VIEW = f"""SELECT d.id, {_STATE} AS state, d.event, d.title, d.channel_id, c.name AS channel, u.name AS user,
       r.name AS role, d.attempts, d.last_error, d.created_at, d.not_before AS next_try_at, d.sent_at
FROM notice_deliveries d JOIN notice_channels c ON c.id = d.channel_id
LEFT JOIN users u ON u.id = c.user_id LEFT JOIN roles r ON r.id = c.role_id"""


class DeliveryView(BaseModel):
    """One notice to one channel."""

    model_config = ConfigDict(frozen=True)

    id: int
    state: State
    event: str
    title: str
    channel_id: int
    channel: str
    user: str | None
    role: str | None
    attempts: int
    last_error: str | None
    created_at: datetime
    next_try_at: datetime
    sent_at: datetime | None


async def listing(
    db: Database, actor: Actor, *, state: State | None = None, limit: int = 50, after: str | None = None
) -> Page[DeliveryView]:
    """Notices to one's own channels, newest first; with `users.manage` to everybody's."""
    rows = await db.fetch(
        f"""{_VIEW} WHERE d.id < $1 AND ($2 OR c.user_id = $3) AND ($4::text IS NULL OR {_STATE} = $4)
            ORDER BY d.id DESC LIMIT $5""",
        before(after),
        MANAGE in actor.permissions,
        actor.person,
        state,
        bounded(limit) + 1,
    )
    return cut([DeliveryView(**row) for row in rows], limit, lambda delivery: delivery.id)


async def retry(db: Database, actor: Actor, delivery_id: int) -> None:
    """Try one that was given up again, from the start."""
    async with db.transaction() as tx:
        row = await tx.fetchrow(
            """SELECT d.dead_at FROM notice_deliveries d JOIN notice_channels c ON c.id = d.channel_id
               WHERE d.id = $1 AND ($2 OR c.user_id = $3) FOR UPDATE OF d""",
            delivery_id,
            MANAGE in actor.permissions,
            actor.person,
        )
        if row is None:
            raise NotFound(f"There is no notice {delivery_id}.")
        if row["dead_at"] is None:
            raise Conflict("This notice has not been given up.")
        await tx.execute(
            "UPDATE notice_deliveries SET dead_at = NULL, attempts = 0, not_before = now() WHERE id = $1",
            delivery_id,
        )
        await audit.record(tx, actor, "notice.retry", "notice", delivery_id)
        await notify(tx, channels.OUTBOX)
