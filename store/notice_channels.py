"""Channels: where a person, or everybody of a role, wants to be told of what.

The address of one is a secret: sealed at rest, never shown again. People set up their own; those of a
role, and other people's, take `users.manage`. What is sent is `store.notices`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg
from pydantic import BaseModel, ConfigDict

from definitions import notice_urls, notices
from definitions.errors import Conflict, Invalid, NotFound, RateLimited
from definitions.permissions import Actor, require
from definitions.problems import Problem
from store import audit, channels, roles, sealed_values
from store.connection import Database, Row, Tx
from store.names import normalise
from store.pages import Page, before, bounded, cut
from store.sealing import required
from store.wakes import notify

MAX_NAME = 100
MOST, MOST_OWN = 20, 5
"""Channels of one role, and of one person."""

MOST_TESTS = 5
TEST_WINDOW = timedelta(minutes=10)
"""How many channels one person may try out in so long: a try is a connection from the server."""

MANAGE = "users.manage"

_VIEW = """SELECT c.id, c.name, u.name AS user, r.name AS role, c.shown, c.events, c.created_at
FROM notice_channels c LEFT JOIN users u ON u.id = c.user_id LEFT JOIN roles r ON r.id = c.role_id"""


class ChannelView(BaseModel):
    """A channel, without its address."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    user: str | None
    role: str | None
    shown: str
    """The service, and the host where that is no secret."""
    events: list[str]
    created_at: datetime


async def add(
    db: Database,
    actor: Actor,
    name: str,
    url: str,
    *,
    role: str | None = None,
    events: Sequence[str] | None = None,
) -> ChannelView:
    """Make a channel, of one's own or, with `users.manage`, of a role; `events`: all of them, or these."""
    if role is not None:
        require(actor, MANAGE)
    elif actor.kind != "user":
        raise Invalid("A channel is a person's, or a role's.")
    wanted, shown = _checked(name, url, events)
    mark = required(db.keys).fingerprint(url.encode())
    async with db.transaction() as tx:
        role_id = None if role is None else (await roles.ids_of(tx, [normalise(role)]))[0]
        user_id = actor.id if role is None else None
        await _make_room(tx, user_id, role_id)
        try:
            channel_id: int = await tx.fetchval(
                """INSERT INTO notice_channels (user_id, role_id, name, shown, mark, events)
                   VALUES ($1, $2, $3, $4, $5, $6) RETURNING id""",
                user_id,
                role_id,
                name.strip(),
                shown,
                mark,
                wanted,
            )
        except asyncpg.UniqueViolationError:
            raise Conflict(f"There is already a channel {name.strip()}; remove it first.") from None
        await sealed_values.keep_of_channel(tx, db.keys, channel_id, url)
        detail = {"name": name.strip(), "address": shown, "role": role, "events": wanted}
        await audit.record(tx, actor, "notice_channel.add", "notice_channel", channel_id, **detail)
        return ChannelView(**await owned(tx, actor, channel_id))


def _checked(name: str, url: str, events: Sequence[str] | None) -> tuple[list[str], str]:
    """The events and what may be shown of the address; raises `Invalid` with every problem."""
    problems: list[Problem] = []
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        fix = f"Give at most {MAX_NAME} characters, to know it by."
        problems.append(Problem(pointer="/name", code="bad-name", message="That is no name.", fix=fix))
    wanted: list[str] = list(notices.EVENTS) if events is None else list(notices.chosen(events))
    if not wanted or (events is not None and set(events) != set(wanted)):
        fix = f"Choose from: {', '.join(notices.EVENTS)}"
        problems.append(
            Problem(pointer="/events", code="unknown-event", message="Not what one can be told of.", fix=fix)
        )
    shown = ""
    try:
        shown = notice_urls.shown(url)
    except Invalid as error:
        problems += error.problems
    if problems:
        raise Invalid("The channel can't be set up so.", problems)
    return wanted, shown


async def _make_room(tx: Tx, user_id: int | None, role_id: int | None) -> None:
    """One at a time for the same person or role, and not more than MOST."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"notices {user_id} {role_id}")
    there = await tx.fetchval(
        "SELECT count(*) FROM notice_channels WHERE user_id = $1 OR role_id = $2", user_id, role_id
    )
    most = MOST_OWN if role_id is None else MOST
    if there >= most:
        raise Conflict(f"There are {most} channels already; remove one first.")


async def remove(db: Database, actor: Actor, channel_id: int) -> None:
    """Forget a channel, its address, and what waits to be sent to it."""
    async with db.transaction() as tx:
        row = await owned(tx, actor, channel_id)
        await tx.execute("DELETE FROM notice_channels WHERE id = $1", channel_id)
        detail = {"name": row["name"], "role": row["role"]}
        await audit.record(tx, actor, "notice_channel.remove", "notice_channel", channel_id, **detail)


async def try_out(db: Database, actor: Actor, channel_id: int) -> None:
    """Send a notice that says nothing, to see that it comes."""
    async with db.transaction() as tx:
        await owned(tx, actor, channel_id)
        await _not_too_often(tx, actor)
        title, body = notices.text("test", notices.Facts("", None, "", 0), "")
        await tx.execute(
            """INSERT INTO notice_deliveries (channel_id, event, mark, title, body)
               SELECT id, 'test:' || id || '#' || clock_timestamp(), mark, $2, $3
               FROM notice_channels WHERE id = $1""",
            channel_id,
            title,
            body,
        )
        await audit.record(tx, actor, "notice_channel.test", "notice_channel", channel_id)
        await notify(tx, channels.OUTBOX)


async def _not_too_often(tx: Tx, actor: Actor) -> None:
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"notice tests {actor.person}")
    made = await tx.fetchval(
        """SELECT count(*) FROM audit
           WHERE subject_kind = 'notice_channel' AND action = 'notice_channel.test' AND actor_kind = 'user'
             AND actor_id = $1 AND at > now() - $2::interval""",
        actor.person,
        TEST_WINDOW,
    )
    if made >= MOST_TESTS:
        raise RateLimited(f"You have tried out {MOST_TESTS} channels in {TEST_WINDOW}; wait a little.")


async def listing(
    db: Database, actor: Actor, *, every: bool = False, limit: int = 50, after: str | None = None
) -> Page[ChannelView]:
    """One's own channels, newest first; `every`: also those of roles and of other people."""
    if every:
        require(actor, MANAGE)
    rows = await db.fetch(
        f"{_VIEW} WHERE c.id < $1 AND ($2 OR c.user_id = $3) ORDER BY c.id DESC LIMIT $4",
        before(after),
        every,
        actor.person,
        bounded(limit) + 1,
    )
    return cut([ChannelView(**row) for row in rows], limit, lambda channel: channel.id)


async def owned(tx: Tx, actor: Actor, channel_id: int) -> Row:
    """A channel that this person may change, locked; any other is not found."""
    row = await tx.fetchrow(
        f"{_VIEW} WHERE c.id = $1 AND ($2 OR c.user_id = $3) FOR UPDATE OF c",
        channel_id,
        MANAGE in actor.permissions,
        actor.person,
    )
    if row is None:
        raise NotFound(f"There is no channel {channel_id}.")
    return row
