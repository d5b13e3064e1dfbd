"""Which recurring jobs need a workflow or a script: by its id, or by its name, which has to stay then."""

from typing import Literal

from definitions.errors import Conflict
from store import references
from store.connection import Row, Tx

_NAMED = {
    "workflow": "definition #>> '{workflow,name}'",
    "script": "coalesce(definition #>> '{job,payload,script}', definition #>> '{job,payload,script_id}')",
}
Noun = Literal["workflow", "script"]


async def users(tx: Tx, noun: Noun, row: Row) -> list[str]:
    """The recurring jobs, not archived, that would be left without it."""
    return await _going_by(tx, noun, [row["name"], str(row["id"])])


async def refuse_rename(tx: Tx, noun: Noun, name: str) -> None:
    """Refuse a new name to what recurring jobs go by the name of: their ticks would not find it."""
    found = await _going_by(tx, noun, [name])
    if found:
        raise Conflict(
            f"The {noun} {name!r} is needed by {references.listed(found)} by this name. "
            "Name it by its id there, and rename it then."
        )


async def _going_by(tx: Tx, noun: Noun, names: list[str]) -> list[str]:
    rows = await tx.fetch(
        f"""SELECT name FROM recurring_jobs WHERE archived_at IS NULL AND {_NAMED[noun]} = ANY ($1)
            ORDER BY name""",
        names,
    )
    return [f"the recurring job {row['name']!r}" for row in rows]
