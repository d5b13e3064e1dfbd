"""Open pages are told that they should look again."""

import asyncio

from approvals_ui.changes import Changes


async def test_a_page_is_told_of_its_own_changes_and_of_no_others(db):
    changes = Changes(db.dsn)
    async with changes.watch("instance:7") as changed:
        changed.clear()
        await db.execute("SELECT pg_notify('opsgate_events', 'instance:8')")
        await db.execute("SELECT pg_notify('opsgate_events', 'approval:7')")
        await db.execute("SELECT pg_notify('opsgate_events', 'instance:7')")
        await asyncio.wait_for(changed.wait(), 5)


async def test_changes_of_something_else_are_not_told(db):
    changes = Changes(db.dsn)
    async with changes.watch("instance:7") as mine, changes.watch("instance:8") as other:
        mine.clear()
        other.clear()
        await db.execute("SELECT pg_notify('opsgate_events', 'instance:8')")
        await asyncio.wait_for(other.wait(), 5)
        assert not mine.is_set()


async def test_the_inbox_is_told_of_any_approval(db):
    changes = Changes(db.dsn)
    async with changes.watch("approval:*") as changed:
        changed.clear()
        await db.execute("SELECT pg_notify('opsgate_events', 'approval:12')")
        await asyncio.wait_for(changed.wait(), 5)


async def test_a_stream_begins_with_a_change_so_that_the_page_catches_up(db):
    stream = Changes(db.dsn).stream("instance:7")
    assert await anext(stream) == "event: changed\ndata: look again\n\n"
    await stream.aclose()


async def test_nobody_looking_leaves_no_connection_open(db):
    changes = Changes(db.dsn)
    async with changes.watch("instance:7"), changes.watch("instance:8"):
        pass
    async with asyncio.timeout(5):
        while await db.fetchval("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"):
            await asyncio.sleep(0.02)
