"""An empty, migrated database for each test, made anew only when a test has changed the schema.

To create and drop a database costs the kernel a tenth of a second; to delete some rows costs nothing.
A test can't tell: rows are gone, sequences begin again, what the migrations put in is there again, and
whoever was still connected is thrown out. Holds no fixture (tests/conftest.py).
"""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg

_SCHEMA = """
SELECT sum(version::text::bigint) FROM (
    SELECT xmin AS version FROM pg_class UNION ALL SELECT xmin FROM pg_attribute
    UNION ALL SELECT xmin FROM pg_trigger UNION ALL SELECT xmin FROM pg_constraint
    UNION ALL SELECT xmin FROM pg_proc UNION ALL SELECT xmin FROM pg_db_role_setting
) AS everything
"""
"""A number that is another one after any change of the schema; rows and VACUUM do not change it."""

_TABLES = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
_SEQUENCES = """
SELECT quote_ident(sequencename), coalesce(last_value, start_value), last_value IS NOT NULL
FROM pg_sequences WHERE schemaname = 'public'
"""
_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class FreshDatabases:
    """One database of a cluster after another, or the same again and again; use it for one test at a time."""

    def __init__(self, maintenance_url: str, template: str) -> None:
        self._maintenance = maintenance_url
        self._template = template
        self._name: str | None = None
        self._schema: int = 0
        self._cleaning = ""

    async def take(self) -> str:
        """The URL of an empty, migrated database."""
        if self._name is None:
            self._name = f"t_{uuid.uuid4().hex[:12]}"
            await self._in_cluster(f"CREATE DATABASE {self._name} TEMPLATE {self._template}")
            await self._learn()
        return self._url()

    async def give_back(self) -> None:
        """Empty it again; drop it if its schema is not what it was."""
        connection = await asyncpg.connect(self._url())
        try:
            await connection.execute(_OTHERS)
            same = await connection.fetchval(_SCHEMA) == self._schema
            if same:
                await connection.execute(self._cleaning)
        finally:
            await connection.close()
        if not same:
            await self.drop()

    async def drop(self) -> None:
        """Drop what there is."""
        if self._name is not None:
            await self._in_cluster(f"DROP DATABASE {self._name} WITH (FORCE)")
            self._name = None

    async def _learn(self) -> None:
        """What an untouched one looks like, as the SQL that brings it back."""
        connection = await asyncpg.connect(self._url())
        try:
            lines = ["BEGIN; SET LOCAL session_replication_role = replica;"]  # no trigger, no foreign key
            for (table,) in await connection.fetch(_TABLES):
                lines.append(f"DELETE FROM {table};")
                rows = await connection.fetchval(f"SELECT json_agg(t)::text FROM {table} AS t")
                if rows is not None:
                    given = await connection.fetchval("SELECT quote_literal($1::text)", rows)
                    lines.append(
                        f"INSERT INTO {table} OVERRIDING SYSTEM VALUE "
                        f"SELECT * FROM json_populate_recordset(NULL::{table}, {given});"
                    )
            for sequence, value, called in await connection.fetch(_SEQUENCES):
                lines.append(f"SELECT setval('{sequence}', {value}, {str(called).lower()});")
            self._cleaning = "\n".join([*lines, "COMMIT;"])
            self._schema = await connection.fetchval(_SCHEMA)
        finally:
            await connection.close()

    async def _in_cluster(self, sql: str) -> None:
        connection: Any = await asyncpg.connect(self._maintenance)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    def _url(self) -> str:
        return self._maintenance.replace("/postgres?", f"/{self._name}?")


@contextmanager
def database_of_its_own(maintenance_url: str, template: str) -> Iterator[str]:
    """The URL of an empty, migrated database for many tests, or for another process; dropped at the end."""
    databases = FreshDatabases(maintenance_url, template)
    try:
        yield asyncio.run(databases.take())
    finally:
        asyncio.run(databases.drop())
