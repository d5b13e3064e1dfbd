"""Open pages are told that they should look again."""

import asyncio

from approvals_ui.changes import Changes

TOLD = "event: changed\ndata: look again\n\n"


async def notify(db, topic):
    """What the store does when something changes."""
    await db.execute("SELECT pg_notify('opsgate_events', $1)", topic)


async def test_a_page_is_told_of_its_own_changes(db):
    async with Changes(db).watch("instance:7") as mine:
        await notify(db, "instance:7")
        assert await mine.wait(5)


async def test_changes_of_something_else_are_not_told(db):
    changes = Changes(db)
    async with changes.watch("instance:7") as mine, changes.watch("instance:8") as other:
        await notify(db, "approval:7")
        await notify(db, "instance:8")
        assert await other.wait(5)
        assert not await mine.wait(0.05)


async def test_the_inbox_is_told_of_any_approval(db):
    async with Changes(db).watch("approval:*") as inbox:
        await notify(db, "approval:12")
        assert await inbox.wait(5)


async def test_a_stream_begins_with_a_change_so_that_the_page_catches_up(db):
    stream = Changes(db).stream("instance:7")
    assert await anext(stream) == TOLD
    await stream.aclose()


async def test_a_stream_tells_of_every_later_change(db):
    stream = Changes(db).stream("instance:7")
    assert await anext(stream) == TOLD
    await notify(db, "instance:7")
    assert await asyncio.wait_for(anext(stream), 5) == TOLD
    await stream.aclose()


async def test_nobody_looking_leaves_no_connection_open(db):
    changes = Changes(db)
    async with changes.watch("instance:7"), changes.watch("instance:8"):
        pass
    async with asyncio.timeout(5):
        while await db.fetchval("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"):
            await asyncio.sleep(0.02)
