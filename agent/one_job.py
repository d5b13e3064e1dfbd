"""One job handed over by a program on the same host, run as the agent runs its jobs.

Standard input has one line, an `Order`, and stays open: the letter C on it cancels the job, and its end
kills the job, for who wanted it is gone; the folder is cleared then. What the job prints comes out as it
runs, without its secrets and up to the cap; the folder's `REDACTIONS` says before in which streams some were
replaced. The folder's `REPORT` says how it ended, as the report to a server would.
"""

import asyncio
import base64
import json
import os
import shutil
import socket
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.output import StreamOutput, redactions
from agent.protocol import CANCEL, REDACTIONS, REPORT, AttemptRef, Order, Stream
from agent.runner import CANCEL_GRACE_SECONDS, Stop
from agent.sealed import Unsealer
from agent.spool import Spool
from agent.work import Work, carry_out, completed

_LONGEST_ORDER = 64 * 1024 * 1024


async def serve(folder: Path, launcher: socket.socket) -> None:
    """Take the order, run it, write the report."""
    lifeline = asyncio.StreamReader(limit=_LONGEST_ORDER)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lifeline), sys.stdin
    )
    line = await lifeline.readline()
    if not line.endswith(b"\n"):  # who wanted it is gone already
        shutil.rmtree(folder, ignore_errors=True)
        return
    order = Order.model_validate_json(line)
    stop: asyncio.Future[Stop] = asyncio.get_running_loop().create_future()
    watching = asyncio.create_task(_watch(lifeline, stop))
    outputs = _output(folder, "stdout"), _output(folder, "stderr")
    for out in outputs:
        out.noted = lambda: _leave(folder / REDACTIONS, json.dumps(redactions(outputs)))
    printing = [asyncio.create_task(out.ship(_print)) for out in outputs]
    ref = AttemptRef(job_id=order.job.job_id, attempt=order.job.attempt)
    work = Work(ref, order.job.payload, order.job.sealed, folder / "work", outputs, order.job.identity)
    key = X25519PrivateKey.from_private_bytes(base64.b64decode(order.private_key))
    unsealer = Unsealer(order.host_id, order.agent_id, key)
    ending = await carry_out(work, unsealer, launcher, stop, lambda _: None)
    report = completed(ending, outputs)
    await asyncio.gather(*printing)
    _leave(folder / REPORT, report.model_dump_json())
    if watching.done():
        shutil.rmtree(folder, ignore_errors=True)
    watching.cancel()


def _leave(file: Path, text: str) -> None:
    """Have it there as a whole or not at all."""
    unfinished = file.with_name(f"{file.name}.new")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.rename(file)


def _output(folder: Path, stream: Stream) -> StreamOutput:
    return StreamOutput(stream, Spool(folder / f"{stream}.spool"))


async def _watch(lifeline: asyncio.StreamReader, stop: "asyncio.Future[Stop]") -> None:
    """Stop the job when that is asked for, or when nobody is left who could ask; returns only then."""
    while letter := await lifeline.read(1):
        if letter == CANCEL and not stop.done():
            stop.set_result(Stop("cancelled", "It was cancelled.", CANCEL_GRACE_SECONDS))
    if not stop.done():
        stop.set_result(Stop("interrupted", "Who wanted it is gone.", 0))


async def _print(stream: Stream, _seq: int, _offset: int, data: bytes) -> bool:
    left = memoryview(data)
    while left:
        left = left[os.write(1 if stream == "stdout" else 2, left) :]
    return True
