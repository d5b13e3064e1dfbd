"""`Idempotency-Key` on a request that creates something: run it once, answer repeats the same."""

import hashlib
import json
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agent_api import authentication
from definitions.permissions import Actor
from store import idempotency

HEADER = "Idempotency-Key"
Handle = Callable[[Request], Coroutine[Any, Any, Response]]


async def once(request: Request, actor: Actor, handle: Handle, *, keep: bool) -> Response:
    """Handle the request, or answer as before. `keep` False: the answer holds a secret, don't store it."""
    key = request.headers.get(HEADER)
    if key is None or actor.id is None:
        return await handle(request)
    db, route = authentication.database(request), f"{request.method} {request.url.path}"
    body = await request.body()
    # Not a plain digest: the body may hold a secret, and who reads the store could try guesses.
    sha256 = db.keys.fingerprint(body) if db.keys is not None else hashlib.sha256(body).digest()
    before = await idempotency.begin(db, actor.id, key, route, sha256)
    if before is not None:
        return JSONResponse(before.response, before.status, {"Idempotency-Replayed": "true"})
    try:
        response = await handle(request)
    except Exception:
        # A use-case is one transaction: it raised, so nothing was created.
        await idempotency.forget(db, actor.id, key)
        raise
    if response.status_code >= 400:
        await idempotency.forget(db, actor.id, key)
    else:
        answer = json.loads(bytes(response.body)) if keep and response.body else None
        await idempotency.finish(db, actor.id, key, response.status_code, answer)
    return response
