"""Runs one job on this machine through prefect-shell's `ShellOperation`.

That hands a script the whole environment of the worker, merges standard error into the output, and raises
on bytes that are no UTF-8. So it is given one fixed line, which clears the environment, puts both streams
into files, and becomes `agent.once`: the agent's program runs the job just as on any host, with its
values, secrets, timeout, cap and redaction. The job itself goes in by a pipe, and is killed when the pipe
ends, be it that this process was: no line, log or run of Prefect's sees anything of it.
"""

import asyncio
import importlib.util
import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from prefect_shell import ShellOperation

from agent.protocol import (
    CANCEL,
    REDACTIONS,
    REPORT,
    CompletedReport,
    Order,
    Redactions,
    Stream,
    StreamReport,
)

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class EngineShell:
    """One job that runs. Its output can be read meanwhile, and its report when it has ended."""

    def __init__(self, folder: Path, lifeline: asyncio.WriteTransport, ended: "asyncio.Task[None]") -> None:
        self.ended = ended
        self._folder = folder
        self._lifeline = lifeline

    def cancel(self) -> None:
        """End it as cancelled."""
        if not self._lifeline.is_closing():
            self._lifeline.write(CANCEL)

    def read(self, stream: Stream, offset: int, most: int) -> bytes:
        """What it has printed from this byte on."""
        try:
            with (self._folder / stream).open("rb") as file:
                file.seek(offset)
                return file.read(most)
        except FileNotFoundError:  # it has hardly begun
            return b""

    def redactions(self) -> Redactions:
        """What was replaced in what `read` gives, and maybe in what it will give."""
        try:
            found: Redactions = json.loads((self._folder / REDACTIONS).read_bytes())
        except FileNotFoundError:
            return {}
        return found

    def report(self) -> CompletedReport:
        """How it ended, once it has."""
        try:
            return CompletedReport.model_validate_json((self._folder / REPORT).read_bytes())
        except FileNotFoundError:
            streams = {
                stream: StreamReport(redacted=1, credential_redacted=leaked)
                for stream, leaked in self.redactions().items()
            }
            reason = "The program that ran it was killed."
            return CompletedReport(outcome="interrupted", reason=reason, **streams)


@asynccontextmanager
async def running(order: Order) -> AsyncIterator[EngineShell]:
    """Start the job; whatever runs of it when the block ends is killed."""
    folder = Path(tempfile.mkdtemp(prefix="opsgate-engine-"))
    reading, writing = os.pipe()
    lifeline = await _writer(writing)
    try:
        operation = ShellOperation(commands=[_line(folder)], stream_output=False, working_dir=folder)
        async with operation:
            process = await operation.atrigger(stdin=reading)
            os.close(reading)
            reading = -1
            ended = asyncio.create_task(process.await_for_completion())
            try:
                lifeline.write(order.model_dump_json().encode() + b"\n")
                yield EngineShell(folder, lifeline, ended)
            finally:
                lifeline.close()
                await asyncio.gather(ended, return_exceptions=True)
    finally:
        lifeline.close()
        if reading >= 0:
            os.close(reading)
        shutil.rmtree(folder, ignore_errors=True)


def _line(folder: Path) -> str:
    """The one line: the same for every job but for its own folder."""
    found = importlib.util.find_spec("agent")
    assert found is not None
    assert found.origin is not None
    program = Path(found.origin).parents[1]
    start = ["env", "-i", f"PATH={_PATH}", "LANG=C.UTF-8", f"PYTHONPATH={program}"]
    words = [*start, sys.executable, "-P", "-m", "agent.once", str(folder)]
    out, err = (shlex.quote(str(folder / stream)) for stream in ("stdout", "stderr"))
    return f"exec {shlex.join(words)} >{out} 2>{err}"


async def _writer(descriptor: int) -> asyncio.WriteTransport:
    pipe = os.fdopen(descriptor, "wb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_write_pipe(asyncio.BaseProtocol, pipe)
    return transport
