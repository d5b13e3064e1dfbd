"""Libraries: versioned text that is put in front of the scripts that link it by name.

While a script links a library, its name and language stay as they are, and it is not archived.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from definitions.errors import Conflict, Invalid
from definitions.library import Library, unfit_links
from definitions.prepending import unfit_library
from definitions.script import Language, Script
from store.connection import Database, Row, Tx
from store.references import listed
from store.versioned import Versioned, VersionView


class LibraryView(VersionView[Library]):
    """A library at one version."""


class Linked(NamedTuple):
    """A library at the version that a script gets."""

    id: int
    version: int
    library: Library


async def _check(tx: Tx, new: Library, before: Library | None) -> None:
    problems = list(unfit_library(new.language, new.content))
    if problems:
        raise Invalid(f"The library {new.name!r} can't be saved.", problems)
    if before is None or (before.name, before.language) == (new.name, new.language):
        return
    users = await _scripts_linking(tx, before.name)
    if users:
        raise Conflict(
            f"The library {before.name!r} is linked by {listed(users)}: its name and language stay. "
            "Save another library, and link that."
        )


async def _needed_by(tx: Tx, row: Row) -> list[str]:
    return await _scripts_linking(tx, row["name"])


async def _scripts_linking(tx: Tx, name: str) -> list[str]:
    """The scripts, not archived, whose newest version links a library. The caller has locked its row, and
    saving a script locks what it links: none is added meanwhile."""
    rows = await tx.fetch(
        """SELECT s.name FROM scripts s JOIN script_versions v ON v.script_id = s.id AND v.version = s.version
           WHERE s.archived_at IS NULL AND v.definition -> 'libraries' ? $1 ORDER BY s.name""",
        name,
    )
    return [f"the script {row['name']!r}" for row in rows]


LIBRARIES = Versioned("library", "libraries", Library, LibraryView, check=_check, needed_by=_needed_by)


async def linked(tx: Tx, script: Script) -> list[Linked]:
    """What a script links, at the newest versions, in link order; locked against archiving until the end
    of the transaction. `Invalid` names every link that can't be."""
    if not script.libraries:
        return []
    names = list(script.libraries)
    # Locked first, read in a statement of its own: one that waited for a save would miss what it saved.
    await tx.execute("SELECT FROM libraries WHERE name = ANY ($1) ORDER BY id FOR SHARE", names)
    rows = await tx.fetch(
        """SELECT l.id, l.name, l.archived_at, l.version, v.definition FROM libraries l
           JOIN library_versions v ON v.library_id = l.id AND v.version = l.version
           WHERE l.name = ANY ($1)""",
        names,
    )
    found = {row["name"]: row for row in rows}
    problems = list(unfit_links(script, {name: _language(row) for name, row in found.items()}))
    if problems:
        raise Invalid(f"The libraries of the script {script.name!r} can't be linked.", problems)
    return [_linked(found[name], name) for name in script.libraries]


async def pinned(db: Tx | Database, pins: Mapping[str, Mapping[str, int]], script: Script) -> list[Linked]:
    """What a script links, at the versions an instance pinned by name; one it has no pin for is left out."""
    wanted = [(name, pins[name]["id"], pins[name]["version"]) for name in script.libraries if name in pins]
    if not wanted:
        return []
    rows = await db.fetch(
        """SELECT v.library_id AS id, v.version, v.definition FROM library_versions v
           JOIN unnest($1::bigint[], $2::int[]) AS w (id, version)
             ON v.library_id = w.id AND v.version = w.version""",
        [number for _, number, _ in wanted],
        [version for _, _, version in wanted],
    )
    found = {row["id"]: row for row in rows}
    return [_linked(found[number], name) for name, number, _ in wanted]


def record(libraries: Iterable[Linked]) -> list[dict[str, Any]]:
    """What a job keeps of the libraries that ran in front of its script."""
    return [{"id": each.id, "name": each.library.name, "version": each.version} for each in libraries]


def _linked(row: Row, name: str) -> Linked:
    return Linked(row["id"], row["version"], Library(name=name, **row["definition"]))


def _language(row: Row) -> Language | None:
    """None: it is archived."""
    language: Language | None = None if row["archived_at"] is not None else row["definition"]["language"]
    return language
