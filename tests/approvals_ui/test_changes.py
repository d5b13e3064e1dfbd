"""Open pages are told that they should look again."""

import asyncio

from agent_api.events import Events
from approvals_ui.changes import stream

TOLD = "event: changed\ndata: look again\n\n"


async def notify(db, topic):
    """What the store does when something changes."""
    await db.execute("SELECT pg_notify('opsgate_events', $1)", topic)


async def test_a_page_is_told_of_its_own_changes(db, events):
    with events.subscribe(["instance:7"]) as mine:
        await notify(db, "instance:7")
        assert await mine.wait(5)


async def test_changes_of_something_else_are_not_told(db, events):
    with events.subscribe(["instance:7"]) as mine, events.subscribe(["instance:8"]) as other:
        await notify(db, "approval:7")
        await notify(db, "instance:8")
        assert await other.wait(5)
        assert not await mine.wait(0.05)


async def test_the_inbox_is_told_of_any_approval(db, events):
    with events.subscribe(["approval:*"]) as inbox:
        await notify(db, "instance:12")
        assert not await inbox.wait(0.2)
        await notify(db, "approval:12")
        assert await inbox.wait(5)


async def test_a_stream_begins_with_a_change_so_that_the_page_catches_up():
    told = stream(Events(), "instance:7")
    assert await anext(told) == TOLD
    await told.aclose()


async def test_a_stream_tells_of_every_later_change(db, events):
    told = stream(events, "instance:7")
    assert await anext(told) == TOLD
    await notify(db, "instance:7")
    assert await asyncio.wait_for(anext(told), 5) == TOLD
    await told.aclose()
