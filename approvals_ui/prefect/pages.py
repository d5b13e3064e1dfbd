"""The pages of Prefect's two user interfaces, and their files.

Each is one page that shows every address below it. Prefect's server is only ever asked for that page or
for a file by a plain name, never for a path a browser made up.
"""

import json
import re

import httpx2
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from approvals_ui.prefect import places
from approvals_ui.prefect.upstream import Answer, Upstream
from definitions.errors import NotFound, Unavailable

_FILE = re.compile(r"(?:v2/)?(?:assets/|ico/|fonts/)?[A-Za-z0-9_-][A-Za-z0-9._-]*\.[a-z0-9]{2,11}")
_SETTINGS = ("flags", "default_ui", "available_uis", "v1_base_url", "v2_base_url")
_OLD = "v1"
"""What the cookie says of somebody who likes the older user interface better."""
_COOKIE = "prefect_ui_version"


async def answer(upstream: Upstream, request: Request, path: str) -> Response:
    """What a browser gets for a path below `/prefect/`."""
    if path == "ui-settings":
        return await _settings(upstream)
    if _FILE.fullmatch(path):
        return await _file(upstream, request, path)
    if path == "" and request.cookies.get(_COOKIE) != _OLD:
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{places.V2}/{query}", 307)
    return await _page(upstream, request, "v2/" if path.split("/")[0] == "v2" else "")


async def _page(upstream: Upstream, request: Request, version: str) -> Response:
    answer = await upstream.ask("GET", httpx2.URL(f"{upstream.root}{places.BASE}/{version}"))
    base = places.V2 if version else places.BASE
    if answer.status != 200 or not answer.is_page or f'"{base}/assets/'.encode() not in answer.body:
        raise Unavailable(
            f"Prefect's server does not serve its pages at {places.BASE}: start it with "
            f"PREFECT_UI_SERVE_BASE={places.BASE} and PREFECT_UI_API_URL={places.API}."
        )
    headers = {"Content-Security-Policy": places.policy(request.headers.get("host", ""))}
    return Response(answer.body, 200, headers, media_type="text/html")


async def _file(upstream: Upstream, request: Request, path: str) -> Response:
    headers = {}
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Accept-Encoding"] = "gzip"
    if "if-none-match" in request.headers:
        headers["If-None-Match"] = request.headers["if-none-match"]
    found = await upstream.ask("GET", httpx2.URL(f"{upstream.root}{places.BASE}/{path}"), headers=headers)
    if found.is_page or found.status not in (200, 304):
        raise NotFound("Prefect has no such file.")
    return Response(found.body, found.status, {**found.headers, "Cache-Control": _kept(path)})


def _kept(path: str) -> str:
    """The names of assets change with what is in them."""
    return "private, max-age=604800, immutable" if "assets/" in path else "private, no-cache"


async def _settings(upstream: Upstream) -> Response:
    """Prefect's settings for its pages: they talk to us, and need no key."""
    answer: Answer = await upstream.ask("GET", httpx2.URL(f"{upstream.root}{places.BASE}/ui-settings"))
    try:
        said = json.loads(answer.body)
    except ValueError as error:
        raise Unavailable("Prefect's server does not say how to show its pages.") from error
    known = {name: said.get(name) for name in _SETTINGS}
    ours = {"api_url": places.API, "auth": None, "csrf_enabled": False}
    return Response(json.dumps({**known, **ours}), media_type="application/json")
