"""The web pages as one application, which answers whatever no route of the API takes.

Composes and configures; every page is a module of `approvals_ui.pages`.
"""

from pathlib import Path

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from agent_api.events import Events
from approvals_ui import error_pages, sign_in
from approvals_ui.pages import ROUTERS
from approvals_ui.prefect import routes as prefect_routes
from approvals_ui.prefect.upstream import Upstream
from approvals_ui.security_headers import SecurityHeaders
from approvals_ui.settings import PagesSettings
from store.connection import Database

STATIC = Path(__file__).parent / "static"


def create_pages(db: Database, settings: PagesSettings, events: Events) -> FastAPI:
    """The pages over a database, following `events`. Needs no start-up; at the end `app.state.prefect`, the
    way to Prefect's dashboards, wants to be closed, if there is one."""
    app = FastAPI(title="Opsgate pages", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.db = db
    app.state.settings = settings
    app.state.events = events
    app.state.prefect = None
    if settings.prefect_api_url is not None:
        app.state.prefect = Upstream(settings.prefect_api_url, settings.prefect_auth_file)
    for router in (sign_in.router, *ROUTERS, prefect_routes.router):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    error_pages.install(app)
    app.add_middleware(SecurityHeaders)
    return app
