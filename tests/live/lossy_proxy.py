"""An HTTP proxy on loopback that loses replies after the server has acted, and sends requests twice.

For bodies with a Content-Length, as agents and uvicorn send them. Says what it did, so that a test
can tell that the faults came.
"""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Faults:
    """How often what goes wrong, as shares of all requests; and how often it did, by path's last word."""

    drop: float = 0.10
    double: float = 0.05
    seed: int = 1
    requests: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    doubled: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)

    def drops(self) -> bool:
        return self._dice.random() < self.drop

    def doubles(self) -> bool:
        return self._dice.random() < self.double


@asynccontextmanager
async def lossy_proxy(port: int, faults: Faults) -> AsyncIterator[str]:
    """The URL of a proxy in front of the server on this port, for the time of the block."""
    proxy = _Proxy(port, faults)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await proxy.close()


class _Proxy:
    def __init__(self, port: int, faults: Faults) -> None:
        self._port = port
        self._faults = faults
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of an agent."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while request := await _message(reader):
                if not await self._pass_on(request, reader, writer):
                    break
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # the agent hung up, or the test is over
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _pass_on(
        self, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Carry one request and its reply; False when the connection ends with it."""
        call = request.split(b" ", 2)[1].split(b"?")[0].rsplit(b"/", 1)[1].decode()
        self._faults.requests[call] += 1
        if self._faults.doubles():
            self._faults.doubled[call] += 1
            self._in_background(request)
        asking = asyncio.ensure_future(self._ask(request))
        hung_up = asyncio.ensure_future(_end_of(reader))
        try:
            await asyncio.wait({asking, hung_up}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                return False  # so the server sees, too, that nobody waits for the reply
            reply = asking.result()
        finally:
            for future in (asking, hung_up):
                future.cancel()
            await asyncio.gather(asking, hung_up, return_exceptions=True)
        if self._faults.drops():
            self._faults.dropped[call] += 1
            return False
        writer.write(reply)
        await writer.drain()
        return True

    def _in_background(self, request: bytes) -> None:
        """Send it once more, at the same time; nobody reads that reply."""

        async def ask() -> None:
            with contextlib.suppress(OSError, EOFError):
                await self._ask(request)

        task = asyncio.create_task(ask())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, request: bytes) -> bytes:
        """The server's whole reply, over a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(request)
            return await _message(reader)
        finally:
            writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """Head and body; nothing at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    lines = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
    length = next((int(value) for name, _, value in lines if name.lower() == b"content-length"), 0)
    return head + await reader.readexactly(length)


async def _end_of(reader: asyncio.StreamReader) -> None:
    """Returns when the other side closes: an agent sends nothing while it waits for a reply."""
    while not reader.at_eof():
        await asyncio.sleep(0.05)
