"""Brings the schema to the newest version, whoever else is doing so at the same time."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

_LOCK = 0x6F707367
"""Advisory lock: one migration at a time."""


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def sqlalchemy_url(dsn: str) -> str:
    """The same database as an SQLAlchemy URL for asyncpg; takes libpq's `?host=/dir` for a unix socket."""
    return "postgresql+asyncpg://" + dsn.split("://", 1)[1]


async def migrate(dsn: str) -> None:
    """Run every migration that has not run. Safe to call from several processes at once."""
    engine = create_async_engine(sqlalchemy_url(dsn), poolclass=NullPool)
    try:
        async with engine.connect() as guard:
            await guard.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
            async with engine.connect() as connection:
                await connection.run_sync(_upgrade)
                await connection.commit()
    finally:
        await engine.dispose()
