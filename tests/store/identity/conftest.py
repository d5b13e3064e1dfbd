"""An administrator without a password: hashing is slow, and most tests need none."""

import pytest

from definitions.permissions import SYSTEM, Actor
from store import users
from store.connection import Database


@pytest.fixture
async def admin(db: Database) -> Actor:
    await users.bootstrap(db)
    view = await users.create(db, SYSTEM, "ann", None, None, ["admin"])
    return await users.actor_of(db, view.id)


@pytest.fixture
async def viewer(db: Database, admin: Actor) -> Actor:
    view = await users.create(db, SYSTEM, "vera", None, None, ["viewer"])
    return await users.actor_of(db, view.id)
