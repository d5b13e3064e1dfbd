"""Copies an instance that really waits, with all that both databases have of it, many times over.

Creating ten thousand through the API would take the engine the better part of an hour. A copy
is whole: it can be decided on and runs on. Prefect's events are not copied.
"""

import json
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import asyncpg

from benchmarks.ours.installation import Installation

_BATCH = 250

_OF_PREFECT = {
    "flow_run": "id = $1",
    "flow_run_state": "flow_run_id = $1",
    "flow_run_input": "flow_run_id = $1",
    "task_run": "flow_run_id = $1",
    "task_run_state": "task_run_id IN (SELECT id FROM task_run WHERE flow_run_id = $1)",
}
"""Prefect's tables, and which of their rows belong to a flow run."""

_OF_OURS = {
    "instances": "id = $1",
    "step_results": "instance_id = $1",
    "approval_requests": "instance_id = $1",
}

Rows = dict[str, list[dict[str, Any]]]


async def _connect(here: Installation, database: str) -> asyncpg.Connection:
    """As the cluster's superuser, who may leave out foreign keys that point in a circle."""
    url = here.stack.environment["OPSGATE_DATABASE_URL"]
    return await asyncpg.connect(url.replace("opsgate@/opsgate?", f"postgres@/{database}?"))


async def _rows(connection: asyncpg.Connection, tables: dict[str, str], key: object) -> Rows:
    found: Rows = {}
    for table, condition in tables.items():
        records = await connection.fetch(f"SELECT to_jsonb(t)::text FROM {table} t WHERE {condition}", key)
        found[table] = [json.loads(record[0]) for record in records]
    return found


async def _insert(connection: asyncpg.Connection, rows: Rows) -> None:
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        for table, some in rows.items():
            await connection.execute(
                f"""INSERT INTO {table} OVERRIDING SYSTEM VALUE
                    SELECT * FROM jsonb_populate_recordset(NULL::{table}, $1::jsonb)""",
                json.dumps(some),
            )


class _Template:
    """One waiting instance as rows, and the numbers the next copies get."""

    def __init__(self, ours: Rows, prefect: Rows, highest: dict[str, int]) -> None:
        self._ours = ours
        self._prefect = prefect
        self._next = highest

    def copy(self, into_ours: Rows, into_prefect: Rows) -> None:
        """Add the rows of one more instance."""
        fresh = {row["id"]: str(uuid4()) for some in self._prefect.values() for row in some}
        numbers = {table: self._number(table) for table in ("instances", "approval_requests")}
        for table, rows in _renamed(self._ours, fresh).items():
            for row in rows:
                row["id"] = numbers[table] if table in numbers else self._number(table)
                if "instance_id" in row:
                    row["instance_id"] = numbers["instances"]
            into_ours[table] += rows
        for table, rows in _renamed(self._prefect, fresh).items():
            if table == "flow_run":
                _point_at(rows[0], numbers["instances"])
            into_prefect[table] += rows

    def _number(self, table: str) -> int:
        self._next[table] += 1
        return self._next[table]


def _renamed(rows: Rows, fresh: dict[str, str]) -> Rows:
    text = json.dumps(rows)
    for old, new in fresh.items():
        text = text.replace(old, new)
    renamed: Rows = json.loads(text)
    return renamed


def _point_at(flow_run: dict[str, Any], instance: int) -> None:
    flow_run["parameters"] = {"instance_id": instance}
    flow_run["name"] = f"copy #{instance}"
    flow_run["idempotency_key"] = f"opsgate-{instance}-1"
    flow_run["tags"] = ["opsgate"]


async def copies(here: Installation, instance: int, count: int) -> None:
    """Add `count` copies of a waiting instance."""
    ours, prefect = await _connect(here, "opsgate"), await _connect(here, "prefect")
    try:
        own_rows = await _rows(ours, _OF_OURS, instance)
        flow_run_id = own_rows["instances"][0]["flow_run_id"]
        highest = {table: await ours.fetchval(f"SELECT max(id) FROM {table}") for table in _OF_OURS}
        template = _Template(own_rows, await _rows(prefect, _OF_PREFECT, flow_run_id), highest)
        for size in _batches(count):
            into_ours: Rows = {table: [] for table in _OF_OURS}
            into_prefect: Rows = {table: [] for table in _OF_PREFECT}
            for _ in range(size):
                template.copy(into_ours, into_prefect)
            await _insert(prefect, into_prefect)
            await _insert(ours, into_ours)
        for table in _OF_OURS:
            await ours.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"
            )
        for connection in (ours, prefect):
            await connection.execute("ANALYZE")
    finally:
        await ours.close()
        await prefect.close()


def _batches(count: int) -> Iterable[int]:
    while count > 0:
        yield min(count, _BATCH)
        count -= _BATCH
