"""The way to Prefect's server, which may be slow, long-winded, gone, or given another key."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import pytest

from approvals_ui.prefect import upstream
from approvals_ui.prefect.upstream import Upstream
from definitions.errors import Unavailable

Handler = Callable[[str, asyncio.StreamWriter], None]


class Server:
    """A server that keeps what it was sent, and answers as the test says."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.answer: Handler = lambda _, writer: reply(writer, b"{}")
        self.port = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                self.heard.append(head)
                self.answer(head, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def reply(writer: asyncio.StreamWriter, body: bytes, status: str = "200 OK", *headers: str) -> None:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    writer.write("\r\n".join(lines).encode() + body)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.talk, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    yield server
    listening.close()


@pytest.fixture
async def prefect(server: Server, tmp_path: Path) -> AsyncIterator[Upstream]:
    (tmp_path / "key").write_text("opsgate:a:b\n", encoding="utf-8")
    found = Upstream(f"http://127.0.0.1:{server.port}/api", tmp_path / "key")
    yield found
    await found.close()


def url(prefect: Upstream) -> httpx2.URL:
    return httpx2.URL(f"{prefect.api}/health")


async def test_the_key_is_sent_by_us_and_only_listed_headers_come_back(server, prefect):
    server.answer = lambda _, writer: reply(
        writer, b"{}", "200 OK", "Set-Cookie: a=b", "Content-Type: application/json", "Server: x"
    )
    answer = await prefect.ask("GET", url(prefect))
    assert dict(answer.headers) == {"content-type": "application/json"}
    encoded = base64.b64encode(b"opsgate:a:b").decode()
    assert f"authorization: basic {encoded}".lower() in server.heard[0].lower()


async def test_a_kept_connection_that_died_is_tried_once_more_but_a_resume_is_not(server, prefect):
    def hang_up_first(_: str, writer: asyncio.StreamWriter) -> None:
        reply(writer, b"{}") if len(server.heard) % 2 == 0 else writer.close()

    server.answer = hang_up_first
    assert (await prefect.ask("GET", url(prefect))).status == 200
    assert len(server.heard) == 2
    with pytest.raises(Unavailable):
        await prefect.ask("POST", url(prefect), body=b"{}", again=False)
    assert len(server.heard) == 3


async def test_an_answer_that_is_too_long_or_too_slow_is_given_up(server, prefect, monkeypatch):
    monkeypatch.setattr(upstream, "MAX_ANSWER_BYTES", 1000)
    server.answer = lambda _, writer: reply(writer, b"x" * 1001)
    with pytest.raises(Unavailable, match="too long"):
        await prefect.ask("GET", url(prefect))
    server.answer = lambda _, writer: writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
    with pytest.raises(Unavailable, match="does not answer"):
        await prefect.ask("GET", url(prefect), patience=0.2)


async def test_another_key_is_read_when_the_one_it_has_is_refused(server, prefect, tmp_path):
    server.answer = lambda _, writer: reply(writer, b"", "401 Unauthorized", "WWW-Authenticate: Basic")
    with pytest.raises(Unavailable, match="OPSGATE_PREFECT_AUTH_FILE"):
        await prefect.ask("GET", url(prefect))
    (tmp_path / "key").write_text("opsgate:new", encoding="utf-8")
    server.answer = lambda _, writer: reply(writer, b"{}")
    await prefect.ask("GET", url(prefect))
    assert base64.b64encode(b"opsgate:new").decode() in server.heard[1]
    (tmp_path / "key").unlink()
    await prefect.close()
    with pytest.raises(Unavailable, match="can't be read"):
        await prefect.ask("GET", url(prefect))


async def test_it_goes_nowhere_that_an_answer_sends_it(server, prefect):
    server.answer = lambda _, writer: reply(writer, b"", "307 Elsewhere", "Location: http://evil.test/")
    with pytest.raises(Unavailable, match="elsewhere"):
        await prefect.ask("GET", url(prefect))
    assert len(server.heard) == 1
