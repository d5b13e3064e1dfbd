"""Following a stream of events over connections that break: each event once, in order."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import pytest

from deployments.cli import event_stream
from deployments.cli.connection import Connection
from deployments.cli.errors import Refused
from deployments.cli.event_stream import follow

Answer = Callable[[BaseHTTPRequestHandler], None]


def event(number: int, name: str = "output", **data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\nid: {number}\n\n".encode()


def sending(*pieces: bytes, promised: int = 0) -> Answer:
    """A stream that ends, or breaks off before as many bytes as were promised."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream")
        if promised:
            request.send_header("Content-Length", str(promised))
        request.end_headers()
        for piece in pieces:
            request.wfile.write(piece)

    return answer


def refusing(status: int) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_error(status)

    return answer


@contextmanager
def serving(*answers: Answer) -> Iterator[tuple[Connection, list[str | None]]]:
    """A server that answers one request after the other so; the connection, and each Last-Event-ID."""
    left, seen = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Last-Event-ID"])
            left.pop(0)(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Connection(f"http://127.0.0.1:{server.server_port}", "ogt_x"), seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "_LONGEST_PAUSE", 0.02)


def test_each_event_comes_once_though_connections_break():
    said: list[str] = []
    broken = sending(event(1, n=1), event(2, n=2)[:20], promised=10_000)
    rest = (refusing(503), sending(event(2, n=2)), sending(event(3, "end", n=3)))
    with serving(broken, *rest) as (connection, seen):
        found = list(follow(connection, "/x", said.append))
    assert [(each.name, each.data["n"]) for each in found] == [("output", 1), ("output", 2), ("end", 3)]
    assert seen == [None, "1", "1", "2"]
    assert said == ["The connection is lost; trying again.", "The server answers again."]


def test_only_a_line_feed_ends_a_line():
    text = "a\u2028b\x85c\r\n"
    with serving(sending(b": ping\n\n", event(1, text=text), event(2, "end"))) as (connection, _):
        assert next(follow(connection, "/x", print)).data["text"] == text


@pytest.mark.parametrize("status", [401, 403, 404, 422])
def test_a_refusal_is_not_tried_again(status: int):
    with serving(refusing(status)) as (connection, _), pytest.raises(Refused):
        list(follow(connection, "/x", print))


def test_a_server_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(event_stream, "PATIENCE_SECONDS", 0.2)
    with pytest.raises(httpx2.TransportError):
        list(follow(Connection("http://127.0.0.1:9", None), "/x", print))
