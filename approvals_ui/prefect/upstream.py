"""The way to Prefect's server: its key, short time limits, answers of bounded length.

Knows nothing of who asks or what may be asked. What it sends and hands back are short lists of headers.
"""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2

from definitions.errors import Unavailable

MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""The largest file of Prefect's pages has five million."""
PATIENCE_SECONDS = 30.0
AT_ONCE = 16
"""Requests that all viewers together may have open at Prefect, so that looking can't starve the engine."""

_KEPT_ALIVE_SECONDS = 2.0
"""Less than Prefect's server keeps a connection for."""

_HANDED_BACK = ("content-type", "content-encoding", "content-disposition", "etag", "last-modified")


@dataclass(frozen=True)
class Answer:
    """What Prefect's server said, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_page(self) -> bool:
        """Whether it is HTML: what Prefect also answers for a file that it does not have."""
        return self.headers.get("content-type", "").startswith("text/html")


class Upstream:
    """One Prefect server."""

    def __init__(self, api_url: str, auth_file: Path | None) -> None:
        self.api = api_url.rstrip("/")
        self.root = self.api.removesuffix("/api")
        self._auth_file = auth_file
        self._client: httpx2.AsyncClient | None = None

    async def close(self) -> None:
        """Let go of the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def ask(
        self,
        method: str,
        url: httpx2.URL,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        again: bool = True,
        patience: float = PATIENCE_SECONDS,
    ) -> Answer:
        """One request; `again`: once more when the connection broke; `patience`: seconds for each try.
        `Unavailable` if there is no answer, one that is too long, or one that refuses our key."""
        for tries_left in (1, 0) if again else (0,):
            try:
                async with asyncio.timeout(patience):
                    answer = await self._once(method, url, body, headers or {})
                break
            except (httpx2.NetworkError, httpx2.ProtocolError) as error:
                if not tries_left:
                    raise _away() from error
            except (httpx2.HTTPError, TimeoutError) as error:
                raise _away() from error
        if answer.status in (401, 403):
            await self.close()  # the key may have been changed: it is read anew
            raise Unavailable("Prefect's server refuses Opsgate's key: see OPSGATE_PREFECT_AUTH_FILE.")
        if 300 <= answer.status < 400 and answer.status != 304:
            raise Unavailable("Prefect's server sends Opsgate elsewhere: see OPSGATE_PREFECT_API_URL.")
        return answer

    async def _once(
        self, method: str, url: httpx2.URL, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        async with self._connected().stream(method, url, content=body, headers=dict(headers)) as response:
            parts, length = [], 0
            async for part in response.aiter_raw():
                parts.append(part)
                length += len(part)
                if length > MAX_ANSWER_BYTES:
                    raise Unavailable("Prefect's answer is too long to be shown here. Ask for less.")
            kept = {name: response.headers[name] for name in _HANDED_BACK if name in response.headers}
            return Answer(response.status_code, kept, b"".join(parts))

    def _connected(self) -> httpx2.AsyncClient:
        if self._client is None:
            headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "opsgate"}
            if self._auth_file is not None:
                headers["Authorization"] = f"Basic {_key(self._auth_file)}"
            self._client = httpx2.AsyncClient(
                headers=headers,
                timeout=httpx2.Timeout(PATIENCE_SECONDS, connect=5.0),
                limits=httpx2.Limits(max_connections=AT_ONCE, keepalive_expiry=_KEPT_ALIVE_SECONDS),
                trust_env=False,
                # Loading the machine's certificates takes a while, and plain loopback needs none.
                verify=self.root.startswith("https://"),
            )
        return self._client


def _key(file: Path) -> str:
    try:
        return base64.b64encode(file.read_text(encoding="utf-8").strip().encode()).decode()
    except (OSError, ValueError) as error:
        raise Unavailable("Prefect's key can't be read: see OPSGATE_PREFECT_AUTH_FILE.") from error


def _away() -> Unavailable:
    return Unavailable(
        "Prefect does not answer now, so its dashboards can't be shown. Opsgate's own pages work, "
        "and approvals can be given there."
    )
