"""The REST client of the command line: one server, one token, problems turned into errors.

Knows paths under `/api/v1` only as they are given; holds no rule.
"""

import ssl
import uuid
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias
from urllib.parse import quote

import httpx2

from deployments.cli import profile
from deployments.cli.errors import Refused, WrongUse

QueryValue: TypeAlias = str | int | bool | list[str] | None

API = "/api/v1"
_TIMEOUT = httpx2.Timeout(30, connect=5)
_STREAM_TIMEOUT = httpx2.Timeout(45, connect=5)
"""A stream says that it is still there every 15 seconds."""


class Connection:
    """A connection to one server as one person."""

    def __init__(self, url: str, token: str | None, ca: str | None = None) -> None:
        headers = {"User-Agent": "opsgate-cli"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.url = url.rstrip("/")
        self._client = httpx2.Client(
            base_url=self.url, headers=headers, timeout=_TIMEOUT, verify=trusting(ca)
        )
        # A command is one function: its connection ends with it, whichever way it is left.
        weakref.finalize(self, self._client.close)

    @classmethod
    def find(cls) -> "Connection":
        """To the server the profile names."""
        found = profile.find()
        return cls(found.url, found.token, found.ca)

    def get(self, path: str, **query: QueryValue) -> Any:
        """The decoded answer of a GET; None values of the query are left out."""
        return _said(self._send("GET", path, query=query))

    def post(
        self,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> Any:
        """POST once: the key makes a repeat after a lost answer harmless. `seconds`: of what takes long."""
        keyed = {"Idempotency-Key": uuid.uuid4().hex, **(headers or {})}
        return _said(self._send("POST", path, body=body, headers=keyed, seconds=seconds))

    def put(self, path: str, body: object) -> Any:
        """PUT a document."""
        return _said(self._send("PUT", path, body=body))

    def bring(self, path: str, body: object, **query: QueryValue) -> bool:
        """PUT what a thing shall be; whether that changed anything (201) or was so already (200)."""
        return self._send("PUT", path, query=query, body=body).status_code == 201

    def patch(self, path: str, body: object) -> Any:
        """PATCH a document."""
        return _said(self._send("PATCH", path, body=body))

    def delete(self, path: str) -> Any:
        """DELETE a thing."""
        return _said(self._send("DELETE", path))

    def download(self, path: str) -> Iterator[bytes]:
        """The bytes of a GET's answer as they come; a refusal comes before the first."""
        with self.stream(path, {}) as pieces:
            yield from pieces

    def items(self, path: str, limit: int | None = None, **query: QueryValue) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page, at most `limit`."""
        after, seen = None, 0
        while True:
            page = self.get(path, after=after, limit=min(limit or 100, 100), **query)
            for item in page["items"]:
                yield item
                seen += 1
                if limit is not None and seen >= limit:
                    return
            after = page.get("next")
            if after is None:
                return

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str], **query: QueryValue) -> Iterator[Iterator[bytes]]:
        """The body of a GET as it comes; what breaks off is an error of transport."""
        given = {name: value for name, value in query.items() if value is not None}
        with self._client.stream(
            "GET", API + path, params=given, headers=dict(headers), timeout=_STREAM_TIMEOUT
        ) as answer:
            if answer.is_error:
                answer.read()
                raise Refused(answer.status_code, _problem(answer))
            yield answer.iter_bytes()

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, QueryValue] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> httpx2.Response:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        timeout = _TIMEOUT if seconds is None else httpx2.Timeout(seconds, connect=5)
        answer = self._client.request(
            method, API + path, params=given, json=body, headers=dict(headers or {}), timeout=timeout
        )
        if answer.is_error:
            raise Refused(answer.status_code, _problem(answer))
        return answer


def trusting(ca: str | None) -> ssl.SSLContext | bool:
    """What a client verifies servers by: the certificates in this file, or this machine's."""
    if ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise WrongUse(f"{ca} holds no certificate in PEM form.") from None
    except OSError as error:
        raise WrongUse(f"The certificates to trust can't be read: {ca}: {error.strerror}.") from None


def segment(value: object) -> str:
    """An id or a name as one part of a path."""
    text = quote(str(value), safe="")
    # A client takes these two for steps on the path.
    return text.replace(".", "%2E") if text in (".", "..") else text


def _said(answer: httpx2.Response) -> Any:
    return answer.json() if answer.content else None


def _problem(answer: httpx2.Response) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    return {"title": f"The server answered {answer.status_code} {answer.reason_phrase}."}
