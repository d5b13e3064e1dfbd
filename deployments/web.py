"""The web process: the API for agents and people and the pages, as one application on one port."""

from ssl import SSLContext

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from agent_api.app import create_api
from approvals_ui.app import create_pages
from deployments.settings import WebSettings
from deployments.tls import server_context
from store.connection import Database
from store.sealing import read_keys

_API_TREES = ("/api/", "/agent/")


def create_app(db: Database, settings: WebSettings) -> FastAPI:
    """The API with the pages behind it: what no route of the API takes goes to the pages.

    Not a mount at `/`: that would also take a wrong method or an unknown path of the API, and answer
    a program with a page.
    """
    app = create_api(db, settings)
    pages = create_pages(db, settings, app.state.events)
    app.router.default = _behind(app.router.default, pages)
    app.state.prefect = pages.state.prefect
    return app


def _behind(api: ASGIApp, pages: ASGIApp) -> ASGIApp:
    async def unmatched(scope: Scope, receive: Receive, send: Send) -> None:
        of_api = scope["type"] != "http" or scope["path"].startswith(_API_TREES)
        await (api if of_api else pages)(scope, receive, send)

    return unmatched


async def serve(settings: WebSettings) -> None:
    """Serve until SIGINT or SIGTERM; `Invalid` if the settings of TLS make that impossible."""
    tls = server_context(settings)
    keys = None if settings.sealing_key_file is None else read_keys(settings.sealing_key_file)
    db = await Database.connect(settings.database_url, min_size=2, max_size=20, name="opsgate-web", keys=keys)
    app = create_app(db, settings)
    try:
        await uvicorn.Server(server_config(app, settings, tls)).serve()
    finally:
        if app.state.prefect is not None:
            await app.state.prefect.close()
        await db.close()


def server_config(app: ASGIApp, settings: WebSettings, tls: SSLContext | None) -> uvicorn.Config:
    """How the HTTP server serves the application; None: without TLS."""
    return uvicorn.Config(
        app,
        host=settings.web_host,
        port=settings.web_port,
        log_level="warning",
        # Forwarded headers are a caller's claim, except those of a proxy that an operator has named.
        proxy_headers=bool(settings.web_trusted_proxies),
        forwarded_allow_ips=list(settings.web_trusted_proxies),
        server_header=False,
        # An agent asks every few seconds: by default it would connect anew each time.
        timeout_keep_alive=75,
        ssl_context_factory=None if tls is None else lambda _config, _default: tls,
        # Long polls are held open: don't wait for them when stopping.
        timeout_graceful_shutdown=2,
    )
