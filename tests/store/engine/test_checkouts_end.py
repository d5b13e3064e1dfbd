"""Whatever an instance holds when it ends is checked in, in the transaction of its end."""

from store import checkouts
from store.checkouts import Wanted
from store.connection import Database
from store.engine import commits, leases
from tests.store.engine.conftest import Worker


async def test_the_end_of_an_instance_checks_in_what_it_holds(
    db: Database, worker: Worker, instance: int
) -> None:
    await db.execute("INSERT INTO identities (name) VALUES ('db_admin')")
    definition = {"vault": "v", "source": "kv_password", "path": "secret/x", "username": "x"}
    await db.execute(
        "INSERT INTO identity_versions (identity_id, version, definition) VALUES (1, 1, $1)", definition
    )
    lease = await leases.take(db, instance, await worker())
    async with db.transaction() as tx:
        made = await checkouts.request(tx, Wanted(instance, "a", 1, "db_admin"))
    assert made.status == "active"
    await commits.end_cancelled(db, lease, "Cancelled by ann.")
    ended = await db.fetchrow("SELECT status, end_reason FROM checkouts WHERE id = $1", made.id)
    assert ended is not None
    assert tuple(ended.values()) == ("ended", "The instance is cancelled.")
