"""The API served from a thread of its own, called by way of its own description."""

import asyncio
import importlib
import socket
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import httpx2
import schemathesis
import uvicorn
from schemathesis.checks import not_a_server_error
from schemathesis.core import NOT_SET
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from agent_api.app import create_api
from agent_api.settings import ApiSettings
from definitions.permissions import SYSTEM
from store import tokens, users
from store.connection import Database
from store.sealing import SealingKeys

T = TypeVar("T")

# Schemathesis loads these late, while other threads load things too; in early releases of 3.11 two
# threads that parse Python at once end in a SystemError (CPython gh-106905).
for late in ("specs.openapi.schemas", "generation.jsonschema.strategy"):
    importlib.import_module(f"schemathesis.{late}")

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
"""What every answer must hold to, whoever asked for whatever."""

FIRST_OF_OURS = 100_000
"""People that requests act for have ids that nothing guesses: no request takes away their rights."""


class World:
    """The served API, who calls it, and what the calls so far have left in it."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="served-api")
        self.db: Database
        self.url = ""
        self.tokens: dict[str, str] = {}
        self.schema: schemathesis.BaseSchema
        self.real: dict[str, list[Any]] = {}
        """By the name of a parameter in a path: values that exist."""
        self.seen: set[str] = set()
        """Operations that have answered as they should."""
        self.wrong: list[str] = []
        """Where such an answer was not as described."""
        self._server: uvicorn.Server
        self._serving: asyncio.Task[None]

    def start(self) -> None:
        self._thread.start()
        self.run(self._open())
        answer = httpx2.get(f"{self.url}/api/openapi.json")
        self.schema = schemathesis.openapi.from_dict(answer.json())

    def stop(self) -> None:
        self.run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of the store where the server runs."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _open(self) -> None:
        self.db = await Database.connect(self._dsn, max_size=8, keys=SealingKeys([bytes(32)]))
        await users.bootstrap(self.db)
        for table in ("users", "tokens"):
            await self.db.execute(f"ALTER TABLE {table} ALTER id RESTART {FIRST_OF_OURS}")
        for name, roles in (("admin", ["admin"]), ("approver", ["approver"]), ("viewer", ["viewer"])):
            view = await users.create(self.db, SYSTEM, name, None, None, roles)
            self.tokens[name] = (await tokens.create(self.db, SYSTEM, "tests", view.id)).token
        for table in ("users", "tokens"):
            await self.db.execute(f"ALTER TABLE {table} ALTER id RESTART 1")
        listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        app = create_api(self.db, ApiSettings(public_url=self.url))
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]))
        while not self._server.started:
            await asyncio.sleep(0.01)

    async def _close(self) -> None:
        self._server.should_exit = True
        await self._serving
        await self.db.close()

    def headers(self, who: str) -> dict[str, str]:
        """Those that say who asks; nobody's are empty."""
        return {"Authorization": f"Bearer {self.tokens[who]}"} if who in self.tokens else {}

    def call(self, operation: str, who: str = "admin", **more: Any) -> Any:
        """Call an operation as it should be: 2xx, or it fails here. The decoded answer."""
        method, _, path = operation.partition(" ")
        case = self.schema[path][method].Case(
            path_parameters=more.pop("path", None),
            query=more.pop("query", None),
            body=more.pop("body", NOT_SET),
            media_type=more.pop("media_type", "application/json"),
            headers=more.pop("headers", None),
        )
        answer = case.call(base_url=self.url, headers=self.headers(who), timeout=30)
        assert answer.status_code < 300, f"{operation}: {answer.status_code} {answer.text}"
        try:
            case.validate_response(answer, checks=CHECKS)
        except FailureGroup as group:
            self.wrong += [f"{operation}: {failure}" for failure in group.exceptions]
        self.seen.add(operation)
        is_json = "json" in answer.headers.get("content-type", [""])[0] and answer.content
        return answer.json() if is_json else answer.content
