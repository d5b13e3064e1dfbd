"""Where notices end in tests: a real mail server and a real webhook, on loopback, that keep what comes."""

import asyncio
import json
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import TracebackType
from typing import Any, Self


class Sink:
    """A server that listens for the time of an `async with` block, and can be away for a while in it."""

    def __init__(self) -> None:
        self.port = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.down()

    async def up(self) -> None:
        """Listen; the second time on the port of the first."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuse connections."""
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        raise NotImplementedError


@dataclass
class Call:
    """What a webhook was sent."""

    method: str
    path: str
    title: str
    message: str


class Webhook(Sink):
    """Answers every request with `status`."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.status = 200
        self.headers = ""

    def url(self, path: str = "hook") -> str:
        return f"json://127.0.0.1:{self.port}/{path}"

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = next(line for line in head.lower().splitlines() if line.startswith("content-length:"))
        body: dict[str, Any] = json.loads(await reader.readexactly(int(length.partition(":")[2])))
        method, path, _ = head.split(" ", 2)
        self.calls.append(Call(method, path, body["title"], body["message"]))
        answer = f"HTTP/1.1 {self.status} X\r\n{self.headers}Content-Length: 0\r\nConnection: close\r\n\r\n"
        writer.write(answer.encode())
        await writer.drain()


class Mailbox(Sink):
    """Takes every mail."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[EmailMessage] = []

    def url(self, to: str) -> str:
        return f"mailto://127.0.0.1:{self.port}?from=opsgate@example.org&to={to}&mode=insecure"

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 sink\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                writer.write(b"354 go on\r\n")
                content = await reader.readuntil(b"\r\n.\r\n")
                parsed = message_from_bytes(content.removesuffix(b".\r\n"), policy=policy.default)
                assert isinstance(parsed, EmailMessage)
                self.mails.append(parsed)
            writer.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 fine\r\n")
            await writer.drain()
            if verb == b"QUIT":
                return


def text_of(mail: EmailMessage) -> str:
    """What a person reads of a mail."""
    part = mail.get_body(("plain", "html"))
    assert part is not None
    return str(part.get_content())
