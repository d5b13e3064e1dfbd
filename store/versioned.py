"""Named definitions with versions: what scripts, libraries, vaults and identities have in common.

A version never changes; saving a change adds one. A definition is archived, not erased, because
instances and jobs keep versions. What only one kind knows comes in as `check` and `needed_by`.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

import asyncpg
from pydantic import BaseModel, ConfigDict

from definitions.errors import Conflict
from definitions.identity import Identity
from definitions.library import Library
from definitions.permissions import Actor, require
from definitions.script import Script
from definitions.vault import Vault
from store import audit, pages, references, version_diffs
from store.connection import Database, Row, Tx
from store.pages import Page
from store.version_diffs import VersionDiff

D = TypeVar("D", Script, Library, Vault, Identity)


class VersionView(BaseModel, Generic[D]):
    """A definition at one version."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    version: int
    newest_version: int
    definition: D
    archived: bool
    created_at: datetime
    """Of this version."""
    created_by_name: str | None


class VersionRow(BaseModel):
    """One line of a list of definitions, or of the versions of one."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    version: int
    language: str | None
    """Of a script or a library."""
    quarantined_at: datetime | None = None
    """Of an identity that nobody may check out until it is rotated."""
    archived: bool
    created_at: datetime
    created_by_name: str | None


class Versioned(Generic[D]):
    """The use-cases of one kind. `refs` are ids or unique names everywhere."""

    def __init__(
        self,
        noun: str,
        table: str,
        model: type[D],
        view: type[VersionView[D]],
        *,
        check: Callable[[Tx, D, D | None], Awaitable[None]],
        needed_by: Callable[[Tx, Row], Awaitable[Sequence[str]]],
        realm: str = "scripts",
        facts: Sequence[str] = (),
    ) -> None:
        """`check(tx, new, before)` refuses what must not be saved; `needed_by` names what an archived
        one would be missed by; `realm`: the permissions it takes, before `.view` and `.manage`; `facts`:
        the columns of the table that `view` has besides."""
        self.noun, self.table = noun, table
        self.model: type[D] = model
        self.view: type[VersionView[D]] = view
        self._check: Callable[[Tx, D, D | None], Awaitable[None]] = check
        self._needed_by = needed_by
        self._facts = "".join(f", d.{column}" for column in facts)
        self.sees, self.changes = f"{realm}.view", f"{realm}.manage"
        self._rows = f"""
            SELECT d.id, d.name, v.version, v.definition ->> 'language' AS language,
                   d.archived_at IS NOT NULL AS archived, v.created_at, u.name AS created_by_name,
                   (to_jsonb(d) ->> 'quarantined_at')::timestamptz AS quarantined_at
            FROM {table} d JOIN {noun}_versions v ON v.{noun}_id = d.id
            LEFT JOIN users u ON u.id = v.created_by
            """

    # -- reading -------------------------------------------------------------------------------
    async def find(self, tx: Tx, ref: int | str, *, lock: bool = False) -> Row:
        """The row (id, name, version, archived_at), or NotFound."""
        number, name = references.split(ref)
        row = await tx.fetchrow(
            f"""SELECT id, name, version, archived_at FROM {self.table}
                WHERE id = $1 OR name = $2 {"FOR UPDATE" if lock else ""}""",
            number,
            name,
        )
        if row is None:
            raise references.missing(self.noun, ref)
        return row

    async def load_version(self, tx: Tx | Database, number: int, version: int) -> D:
        """The definition as it was at a version, for the engine."""
        row = await tx.fetchrow(
            f"""SELECT d.name, v.definition FROM {self.table} d
                JOIN {self.noun}_versions v ON v.{self.noun}_id = d.id
                WHERE d.id = $1 AND v.version = $2""",
            number,
            version,
        )
        if row is None:
            raise references.missing(f"version {version} of {self.noun}", number)
        return self._definition(row)

    async def show(
        self, db: Database, actor: Actor, ref: int | str, version: int | None = None
    ) -> VersionView[D]:
        """One, by id or name; the newest version unless another is asked for."""
        require(actor, self.sees)
        async with db.connection() as tx:
            row = await self.find(tx, ref)
            return await self._view(tx, row["id"], version)

    async def listing(
        self, db: Database, actor: Actor, *, limit: int = 50, after: str | None = None, archived: bool = False
    ) -> Page[VersionRow]:
        """The newest version of each, the newest first."""
        require(actor, self.sees)
        rows = await db.fetch(
            f"""{self._rows} WHERE v.version = d.version
                  AND d.id < $1 AND (d.archived_at IS NOT NULL) = $2 ORDER BY d.id DESC LIMIT $3""",
            pages.before(after),
            archived,
            pages.bounded(limit) + 1,
        )
        return pages.cut([VersionRow(**row) for row in rows], limit, lambda row: row.id)

    async def versions(
        self, db: Database, actor: Actor, ref: int | str, *, limit: int = 50, after: str | None = None
    ) -> Page[VersionRow]:
        """The versions of one, the newest first."""
        require(actor, self.sees)
        async with db.connection() as tx:
            row = await self.find(tx, ref)
            rows = await tx.fetch(
                f"{self._rows} WHERE d.id = $1 AND v.version < $2::bigint ORDER BY v.version DESC LIMIT $3",
                row["id"],
                pages.before(after),
                pages.bounded(limit) + 1,
            )
        return pages.cut([VersionRow(**row) for row in rows], limit, lambda row: row.version)

    async def diff(self, db: Database, actor: Actor, ref: int | str, old: int, new: int) -> VersionDiff:
        """Compare two versions."""
        require(actor, self.sees)
        async with db.connection() as tx:
            row = await self.find(tx, ref)
            before = await self.load_version(tx, row["id"], old)
            after = await self.load_version(tx, row["id"], new)
        return version_diffs.compare(old, before, new, after)

    # -- changing ------------------------------------------------------------------------------
    async def save(self, db: Database, actor: Actor, new: D, ref: int | str | None = None) -> VersionView[D]:
        """Create one (no reference), or add a version if it changed."""
        require(actor, self.changes)
        references.check_name(new.name)
        async with db.transaction() as tx:
            if ref is None:
                row = await self._create(tx, actor, new)
                if row is None:
                    raise await self._taken(tx, new.name)
            else:
                row = await self.find(tx, ref, lock=True)
                await self._update(tx, actor, row, new)
            return await self._view(tx, row["id"])

    async def put(self, db: Database, actor: Actor, new: D) -> tuple[VersionView[D], bool]:
        """Make the one of this name be this; says whether anything changed."""
        require(actor, self.changes)
        references.check_name(new.name)
        async with db.transaction() as tx:
            created = await self._create(tx, actor, new)
            row = created or await self.find(tx, new.name, lock=True)
            changed = created is not None or await self._update(tx, actor, row, new)
            return await self._view(tx, row["id"]), changed

    async def rollback(self, db: Database, actor: Actor, ref: int | str, version: int) -> VersionView[D]:
        """Save an older version again, as the newest; nothing is rewritten."""
        require(actor, self.changes)
        async with db.transaction() as tx:
            row = await self.find(tx, ref, lock=True)
            await self._update(tx, actor, row, await self.load_version(tx, row["id"], version))
            return await self._view(tx, row["id"])

    async def archive(self, db: Database, actor: Actor, ref: int | str) -> None:
        """Hide one; refused while something needs it. Versions that are pinned stay."""
        require(actor, self.changes)
        async with db.transaction() as tx:
            row = await self.find(tx, ref, lock=True)
            if row["archived_at"] is not None:
                return
            users = await self._needed_by(tx, row)
            if users:
                raise Conflict(f"The {self.noun} {row['name']!r} is needed by {references.listed(users)}.")
            await tx.execute(f"UPDATE {self.table} SET archived_at = now() WHERE id = $1", row["id"])
            await audit.record(tx, actor, f"{self.noun}.archive", self.noun, row["id"], name=row["name"])

    async def _create(self, tx: Tx, actor: Actor, new: D) -> Row | None:
        row = await tx.fetchrow(
            f"""INSERT INTO {self.table} (name) VALUES ($1) ON CONFLICT (name) DO NOTHING
                RETURNING id, name, version, archived_at""",
            new.name,
        )
        if row is not None:
            await self._check(tx, new, None)
            await self._add_version(tx, actor, row["id"], 1, new)
        return row

    async def _update(self, tx: Tx, actor: Actor, row: Row, new: D) -> bool:
        newest = await self.load_version(tx, row["id"], row["version"])
        if newest == new and row["archived_at"] is None:
            return False
        await self._check(tx, new, newest)
        try:
            async with tx.transaction():  # so that the name's owner can be looked up when this is refused
                await tx.execute(
                    f"UPDATE {self.table} SET name = $2, archived_at = NULL WHERE id = $1",
                    row["id"],
                    new.name,
                )
        except asyncpg.UniqueViolationError:
            raise await self._taken(tx, new.name) from None
        if row["archived_at"] is not None:
            await audit.record(tx, actor, f"{self.noun}.restore", self.noun, row["id"], name=new.name)
        if row["name"] != new.name:
            detail = {"name": new.name, "was": row["name"]}
            await audit.record(tx, actor, f"{self.noun}.rename", self.noun, row["id"], **detail)
        if _stored(newest) != _stored(new):
            await self._add_version(tx, actor, row["id"], row["version"] + 1, new)
        return True

    async def _taken(self, tx: Tx, name: str) -> Conflict:
        if (await self.find(tx, name))["archived_at"] is None:
            return Conflict(f"There is a {self.noun} named {name!r} already.")
        return Conflict(
            f"There is a {self.noun} named {name!r} already, in the archive: save it by its name "
            f"(PUT /api/v1/{self.table}/by-name/..., or `opsgate apply`) or roll it back to a version, "
            "and it is out of the archive; or choose another name."
        )

    async def _add_version(self, tx: Tx, actor: Actor, number: int, version: int, new: D) -> None:
        """Write a version and make it the newest; the caller holds the lock."""
        await tx.execute(
            f"""INSERT INTO {self.noun}_versions ({self.noun}_id, version, definition, created_by)
                VALUES ($1, $2, $3, $4)""",
            number,
            version,
            _stored(new),
            actor.id,
        )
        await tx.execute(f"UPDATE {self.table} SET version = $2 WHERE id = $1", number, version)
        detail = {"name": new.name, "version": version}
        await audit.record(tx, actor, f"{self.noun}.save", self.noun, number, **detail)

    async def _view(self, tx: Tx, number: int, version: int | None = None) -> VersionView[D]:
        row = await tx.fetchrow(
            f"""SELECT d.id, d.name, v.version, d.version AS newest_version, v.definition,
                       d.archived_at IS NOT NULL AS archived, v.created_at, u.name AS created_by_name
                       {self._facts}
                FROM {self.table} d
                JOIN {self.noun}_versions v ON v.{self.noun}_id = d.id AND v.version = coalesce($2, d.version)
                LEFT JOIN users u ON u.id = v.created_by WHERE d.id = $1""",
            number,
            version,
        )
        if row is None:
            raise references.missing(f"version {version} of {self.noun}", number)
        return self.view(**{**row, "definition": self._definition(row)})

    def _definition(self, row: Row) -> D:
        return self.model(name=row["name"], **row["definition"])


def _stored(definition: BaseModel) -> dict[str, Any]:
    return definition.model_dump(mode="json", exclude={"name"})
