"""What a job printed, on this terminal: harmless to look at, or raw for a pipe; whole, or as it comes."""

import base64
import codecs
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from definitions.harmless import TerminalText, visible
from deployments.cli.connection import Connection
from deployments.cli.event_stream import follow as follow_events

STREAMS = ("stdout", "stderr")


class Printer:
    """Writes one stream of one attempt piece by piece, to where it belongs."""

    def __init__(self, stream: str, *, raw: bool = False) -> None:
        self._to = sys.stdout if stream == "stdout" else sys.stderr
        self._raw = raw
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._terminal = TerminalText()

    def write(self, chunk: Mapping[str, Any]) -> None:
        """One chunk, in order."""
        data = base64.b64decode(chunk["base64"]) if chunk["base64"] is not None else chunk["text"].encode()
        self._put(data if self._raw else self._terminal.feed(self._decoder.decode(data)).encode())

    def finish(self) -> None:
        """What was kept back because more could have belonged to it."""
        if not self._raw:
            rest = self._terminal.feed(self._decoder.decode(b"", True)) + self._terminal.finish()
            self._put(rest.encode())

    def _put(self, data: bytes) -> None:
        self._to.flush()
        self._to.buffer.write(data)
        self._to.flush()


def whole(connection: Connection, job: int, streams: Sequence[str], *, raw: bool = False) -> None:
    """What there is now, one stream after the other."""
    for stream in streams:
        printer = Printer(stream, raw=raw)
        for chunk in chunks(connection, job, stream):
            printer.write(chunk)
        printer.finish()


def chunks(connection: Connection, job: int, stream: str) -> list[dict[str, Any]]:
    """The chunks of one stream that are there now."""
    found: list[dict[str, Any]] = []
    after = -1
    while True:
        page = connection.get(f"/jobs/{job}/output", stream=stream, after=after)
        found += page["items"]
        after = page["next"]
        if page["done"] or not page["items"]:
            return found


class Screen:
    """Writes chunks of both streams as they come, attempt after attempt."""

    def __init__(self, *, raw: bool = False) -> None:
        self._raw = raw
        self._attempt = 0
        self._printers: dict[str, Printer] = {}

    def write(self, chunk: Mapping[str, Any]) -> None:
        """The next chunk of whichever stream."""
        if chunk["attempt"] != self._attempt:
            self.finish()
            self._attempt = chunk["attempt"]
        stream = chunk["stream"]
        if stream not in self._printers:
            self._printers[stream] = Printer(stream, raw=self._raw)
        self._printers[stream].write(chunk)

    def finish(self) -> None:
        """No more of this attempt will come."""
        for printer in self._printers.values():
            printer.finish()
        self._printers.clear()


def live(
    connection: Connection, job: int, stream: str | None, take: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Hand over each chunk as it comes, until the job has ended; returns the job then."""
    for event in follow_events(connection, f"/jobs/{job}/events", say, stream=stream):
        if event.name == "output":
            take(event.data)
        elif event.name == "job" and event.data["status"] == "queued":
            say(f"Job {job} is queued. {event.data['waits']}")
    return event.data


def note_truncated(job: Mapping[str, Any], streams: Sequence[str] = STREAMS) -> None:
    """Say which streams are not kept whole."""
    for stream in streams:
        if job[f"{stream}_truncated"]:
            kept = job[f"{stream}_length"]
            say(f"truncated: {stream} of job {job['id']} was longer; its first {kept} bytes are kept.")


def say(sentence: str) -> None:
    """A line for the person at the terminal, apart from the job's output."""
    print(f"[{visible(sentence)}]", file=sys.stderr, flush=True)
