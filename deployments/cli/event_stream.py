"""Server-sent events of one address, across lost connections and restarts of the server.

Each time it goes on behind the last event that came (`Last-Event-ID`), until an `end` event.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx2

from deployments.cli.connection import Connection, QueryValue
from deployments.cli.errors import Refused

PATIENCE_SECONDS = 600.0
"""How long the server may be away."""
_LONGEST_PAUSE = 5.0


class Event(NamedTuple):
    """One event: its name, its data, and the id to go on from."""

    name: str
    data: dict[str, Any]
    id: str


def follow(
    connection: Connection, path: str, say: Callable[[str], None], **query: QueryValue
) -> Iterator[Event]:
    """Every event once, the `end` event last; `say` tells the person when the server is away.

    Raises what the server refuses, and the failure of a server that stays away.
    """
    last: str | None = None
    heard, failures = time.monotonic(), 0
    while True:
        try:
            for event in _events(connection, path, last, query):
                if failures:
                    say("The server answers again.")
                heard, failures, last = time.monotonic(), 0, event.id or last
                yield event
                if event.name == "end":
                    return
        except (httpx2.TransportError, Refused) as error:
            away = not isinstance(error, Refused) or error.status >= 500 or error.status == 429
            if not away or time.monotonic() - heard > PATIENCE_SECONDS:
                raise
            failures += 1
            if failures == 1:
                say("The connection is lost; trying again.")
        time.sleep(min(0.2 * 2**failures, _LONGEST_PAUSE))


def _events(
    connection: Connection, path: str, last: str | None, query: dict[str, QueryValue]
) -> Iterator[Event]:
    """The events of one connection."""
    headers = {} if last is None else {"Last-Event-ID": last}
    fields: dict[str, str] = {}
    with connection.stream(path, headers, **query) as pieces:
        for line in _lines(pieces):
            if line:
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
            elif "data" in fields:
                yield Event(fields.get("event", ""), json.loads(fields["data"]), fields.get("id", ""))
                fields = {}


def _lines(pieces: Iterator[bytes]) -> Iterator[str]:
    """Whole lines. Only a line feed ends one: other breaks may stand in the data."""
    rest = bytearray()
    for piece in pieces:
        rest += piece
        *lines, tail = rest.split(b"\n") if b"\n" in piece else [rest]
        for line in lines:
            yield line.decode("utf-8", "replace")
        rest = bytearray(tail)
