"""Nobody gets in by default: every route of the composed application declares who it is for."""

from agent_api.guarded import routes
from definitions.permissions import PERMISSIONS
from deployments.settings import WebSettings
from deployments.web import create_app
from store.connection import Database

FILES = {"/static"}
"""Mounts that only serve files we ship."""

DOCUMENTS = {"/api/openapi.json"}
"""Served by the framework itself: a description without data."""


def composed(db: Database) -> list[tuple[str, str, object]]:
    settings = WebSettings(database_url=db.dsn)
    return list(routes(create_app(db, settings)))


async def test_every_route_declares_its_guard(db: Database):
    found = composed(db)
    assert len(found) > 40
    unguarded = [
        f"{method} {path}"
        for method, path, guard in found
        if guard is None and path not in FILES and path not in DOCUMENTS and path != ""
    ]
    assert unguarded == []


async def test_agents_and_people_have_separate_trees(db: Database):
    for _, path, guard in composed(db):
        if getattr(guard, "agent", False):
            assert path.startswith("/agent/v1/"), path


async def test_only_a_handful_of_routes_is_public(db: Database):
    public = sorted({path for _, path, guard in composed(db) if getattr(guard, "public", None)})
    assert public == [
        "/agent/v1/enrol",
        "/api/v1/sessions",
        "/healthz",
        "/readyz",
        "/sign-in",
    ]


async def test_every_permission_that_is_asked_for_exists(db: Database):
    asked = {guard.permission for _, _, guard in composed(db) if getattr(guard, "permission", None)}
    assert asked <= set(PERMISSIONS)
