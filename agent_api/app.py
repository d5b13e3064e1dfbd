"""Puts the HTTP surface together: every router, errors as problems, the bells of held-open polls."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from agent_api import guarded, problem_responses
from agent_api.bells import HostBells
from agent_api.body_limit import BodyLimit
from agent_api.events import Events
from agent_api.guesses import Guesses
from agent_api.known_agents import KnownAgents
from agent_api.routes import ROUTERS
from agent_api.settings import ApiSettings
from store import channels, log_output
from store.connection import Database, Listener


def create_api(db: Database, settings: ApiSettings) -> FastAPI:
    """The application; its lifespan listens for jobs and for what pages show. The pages' router is included
    by who composes both.

    `app.state.error_page`, if set, answers errors outside `/api` and `/agent` (see problem_responses).
    """
    log_output.configure()
    bells, events = HostBells(), Events()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        listener = Listener(db.dsn, {channels.JOBS: bells.ring, channels.EVENTS: events.deliver})
        await listener.start()
        ringing = asyncio.create_task(bells.ring_for_the_due(db), name="opsgate-bells")
        try:
            yield
        finally:
            ringing.cancel()
            await asyncio.gather(ringing, return_exceptions=True)
            await listener.stop()

    # The API's description is a guarded route of ours; FastAPI's own would stand outside the guards.
    app = FastAPI(
        title="Opsgate", version="1", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None
    )
    app.state.db, app.state.settings, app.state.bells, app.state.events = db, settings, bells, events
    app.state.enrol_guesses, app.state.known_agents = Guesses(), KnownAgents()
    problem_responses.install(app)
    app.add_middleware(BodyLimit, most=settings.max_body_bytes)
    for router in ROUTERS:
        app.include_router(router)
    for method, path, guard in guarded.routes(app):
        if guard is None:
            raise TypeError(f"{method} {path} has no guard.")
    return app
