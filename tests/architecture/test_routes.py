"""Nobody gets in by default: every route of the web process declares who it is for."""

import httpx2
import pytest
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from agent_api.app import create_api
from agent_api.events import Events
from agent_api.guarded import Guard, routes
from approvals_ui.app import create_pages
from definitions.permissions import PERMISSIONS
from deployments.settings import WebSettings
from deployments.web import create_app
from store.connection import Database

PUBLIC = {
    "/agent/v1/enrol",
    "/api/openapi.json",
    "/api/v1/sessions",
    "/healthz",
    "/metrics",
    "/readyz",
    "/sign-in",
}
"""Everything that anybody may call. A further one is a decision: make it here too."""


@pytest.fixture
def settings(db: Database) -> WebSettings:
    return WebSettings(database_url=db.dsn)


@pytest.fixture
def found(db: Database, settings: WebSettings) -> list[tuple[str, str, Guard | None]]:
    """Every route of both parts that the web process is composed of."""
    return [*routes(create_api(db, settings)), *routes(create_pages(db, settings, Events()))]


def test_every_route_declares_its_guard(found: list[tuple[str, str, Guard | None]]):
    assert len(found) > 60
    assert [f"{method} {path}" for method, path, guard in found if guard is None] == ["* /static"]


def test_what_is_mounted_serves_only_files(db: Database, settings: WebSettings):
    for app in (create_app(db, settings), create_pages(db, settings, Events())):
        for route in app.routes:
            assert not isinstance(route, Mount) or isinstance(route.app, StaticFiles)


def test_only_a_handful_of_routes_is_public(found: list[tuple[str, str, Guard | None]]):
    assert {path for _, path, guard in found if guard is not None and guard.public} == PUBLIC


def test_agents_and_people_have_separate_trees(found: list[tuple[str, str, Guard | None]]):
    for _, path, guard in found:
        of_agents = path.startswith("/agent/v1/")
        assert of_agents == bool(guard is not None and (guard.agent or path == "/agent/v1/enrol")), path


def test_every_permission_that_is_asked_for_exists(found: list[tuple[str, str, Guard | None]]):
    asked = {guard.permission for _, _, guard in found if guard is not None and guard.permission}
    assert asked <= set(PERMISSIONS)
    assert len(asked) >= 8


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/api/v1/nothing", 404, "application/problem+json"),
        ("PUT", "/api/v1/me", 405, "application/problem+json"),
        ("GET", "/agent/v1/nothing", 404, "application/problem+json"),
        ("GET", "/sign-in", 200, "text/html; charset=utf-8"),
        ("GET", "/nothing", 404, "text/html; charset=utf-8"),
    ],
)
async def test_programs_get_problems_and_people_get_pages(
    db: Database, settings: WebSettings, method: str, path: str, status: int, kind: str
):
    transport = httpx2.ASGITransport(app=create_app(db, settings))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.request(method, path, headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, kind)
