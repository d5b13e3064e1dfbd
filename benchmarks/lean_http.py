"""POST of JSON over one kept-alive connection each, in a tenth of a client library's CPU.

Load is made on the machine that is measured: what the maker costs, the server does not get. For the
load only; assumes an answer with a Content-Length, as uvicorn gives it for JSON.
"""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit


class Refused(Exception):
    """The server answered with an error: its status, and its body as the text."""

    def __init__(self, address: str, status: int, answer: bytes) -> None:
        super().__init__(f"{address}: {status} {answer[:300].decode('utf-8', 'replace')}")
        self.status = status


class LeanHttp:
    """Posts to one server; as many connections as posts under way."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self._host, self._port, self._prefix = parts.hostname or "127.0.0.1", parts.port, parts.path
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.headers: dict[str, str] = {}

    async def post(self, address: str, body: Any) -> Any:
        """The answer's JSON. Raises `Refused` for an error; OSError or EOFError for a lost connection."""
        request = self._request(address, json.dumps(body).encode())
        while self._idle:
            try:
                return await self._exchange(address, request, *self._idle.pop())
            except asyncio.IncompleteReadError as error:
                if error.partial:
                    raise
                # The server closed it, idle, as we wrote: it read nothing, so another may carry it.
        return await self._exchange(address, request, *await asyncio.open_connection(self._host, self._port))

    async def _exchange(
        self, address: str, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Any:
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status = int(head.split(" ", 2)[1])
            lines = (line.partition(":") for line in head.split("\r\n")[1:])
            length = next(int(value) for name, _, value in lines if name.lower() == "content-length")
            answer = await reader.readexactly(length)
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        if status >= 400:
            raise Refused(address, status, answer)
        return json.loads(answer)

    def close(self) -> None:
        """Close the connections that no post uses."""
        for _, writer in self._idle:
            writer.close()

    def _request(self, address: str, body: bytes) -> bytes:
        lines = [
            f"POST {self._prefix}{address} HTTP/1.1",
            f"Host: {self._host}:{self._port}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
