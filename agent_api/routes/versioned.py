"""The routes that versioned definitions have in common; each router adds them to its own."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Body, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from agent_api.authentication import Db, Person
from agent_api.guarded import GuardedRouter
from agent_api.ids import Paging
from definitions.errors import Invalid
from definitions.problems import Problem, has_errors
from store.pages import Page
from store.version_diffs import VersionDiff
from store.versioned import D, Versioned, VersionRow, VersionView

Document = Annotated[dict[str, Any], Body(description="As in a definition file, `content` inline.")]
VersionNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]
Parse = Callable[[object], tuple[D | None, list[Problem]]]


class Version(BaseModel):
    """Which version to go back to."""

    model_config = ConfigDict(extra="forbid")

    version: VersionNumber


def add_routes(router: GuardedRouter, kind: Versioned[D], parse: Parse[D]) -> None:
    """List, create, put, show, save, archive; versions, diff, rollback."""
    _add_collection(router, kind, parse)
    _add_item(router, kind, parse)
    _add_versions(router, kind)


def _read(kind: Versioned[D], parse: Parse[D], document: dict[str, Any]) -> D:
    found, problems = parse(document)
    if found is None or has_errors(problems):
        raise Invalid(f"The {kind.noun} is not valid.", problems)
    return found


def _add_collection(router: GuardedRouter, kind: Versioned[D], parse: Parse[D]) -> None:
    @router.get("", permission=kind.sees)
    async def listing(db: Db, actor: Person, window: Paging, archived: bool = False) -> Page[VersionRow]:
        """The newest first."""
        return await kind.listing(db, actor, archived=archived, **vars(window))

    @router.post("", permission=kind.changes, creates=True, status_code=201, response_model=kind.view)
    async def create(db: Db, actor: Person, document: Document) -> VersionView[D]:
        """Save a new one."""
        return await kind.save(db, actor, _read(kind, parse, document))

    @router.put(
        "/by-name/{name}",
        permission=kind.changes,
        response_model=kind.view,
        responses={201: {"model": kind.view, "description": "Created or changed"}},
    )
    async def put(db: Db, actor: Person, name: str, document: Document, response: Response) -> VersionView[D]:
        """Make the one of this name be this. 201: created or changed it; 200: it was so already."""
        if document.get("name", name) != name:
            raise Invalid(f"The {kind.noun} is named {document['name']!r} and the address says {name!r}.")
        view, changed = await kind.put(db, actor, _read(kind, parse, {**document, "name": name}))
        response.status_code = 201 if changed else 200
        return view


def _add_item(router: GuardedRouter, kind: Versioned[D], parse: Parse[D]) -> None:
    @router.get("/{ref}", permission=kind.sees, response_model=kind.view)
    async def show(
        db: Db, actor: Person, ref: str, version: Annotated[VersionNumber | None, Query()] = None
    ) -> VersionView[D]:
        """One, by id or name; the newest version unless another is asked for."""
        return await kind.show(db, actor, ref, version)

    @router.put("/{ref}", permission=kind.changes, response_model=kind.view)
    async def save(db: Db, actor: Person, ref: str, document: Document) -> VersionView[D]:
        """Save a change as the next version."""
        return await kind.save(db, actor, _read(kind, parse, document), ref)

    @router.delete("/{ref}", permission=kind.changes, status_code=204)
    async def archive(db: Db, actor: Person, ref: str) -> None:
        """Archive it; 409 names what needs it. Pinned versions stay."""
        await kind.archive(db, actor, ref)


def _add_versions(router: GuardedRouter, kind: Versioned[D]) -> None:
    @router.get("/{ref}/versions", permission=kind.sees)
    async def versions(db: Db, actor: Person, ref: str, window: Paging) -> Page[VersionRow]:
        """The versions, the newest first."""
        return await kind.versions(db, actor, ref, **vars(window))

    @router.get("/{ref}/versions/{old}/diff/{new}", permission=kind.sees)
    async def diff(db: Db, actor: Person, ref: str, old: VersionNumber, new: VersionNumber) -> VersionDiff:
        """What changed from one version to another."""
        return await kind.diff(db, actor, ref, old, new)

    @router.post("/{ref}/rollback", permission=kind.changes, creates=True, response_model=kind.view)
    async def rollback(db: Db, actor: Person, ref: str, body: Version) -> VersionView[D]:
        """Save an older version again, as the newest."""
        return await kind.rollback(db, actor, ref, body.version)
