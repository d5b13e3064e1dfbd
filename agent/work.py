"""What an attempt does on its host once it may start: its secret values, its files, processes, report.

Says nothing to any server and journals nothing: that is the caller's, the agent's or `agent.once`'s.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from agent import interpreters, redaction, runner, sealed, tree, workplace
from agent.output import StreamOutput
from agent.payloads import JobPayload, ScriptPayload, UserControlPayload
from agent.protocol import AttemptRef, CompletedReport
from agent.runner import Ending, Stop
from agent.sealed import Unsealer
from agent.tree import ProcessTree


@dataclass(frozen=True)
class Work:
    """One attempt, and where it is done."""

    ref: AttemptRef
    payload: JobPayload
    sealed: str | None
    folder: Path
    """Made here, and gone when it ends."""
    outputs: tuple[StreamOutput, StreamOutput]


async def carry_out(
    work: Work,
    unsealer: Unsealer,
    launcher: socket.socket,
    stop: "asyncio.Future[Stop]",
    started: Callable[[ProcessTree], None],
) -> Ending:
    """Run it to its end, or say why this host can't. `started` is told of its processes."""
    try:
        secrets = await _secrets(work, unsealer)
        work.folder.mkdir(mode=0o700, parents=True)
        launch = replace(await interpreters.prepare(work.payload, work.folder), secrets=secrets)
        running = await tree.start(launch, launcher)
        started(running)
        return await runner.run(running, work.outputs, work.payload.timeout_seconds, stop)
    except (sealed.CannotOpen, interpreters.CannotRun, tree.CannotStart) as error:
        return Ending("refused", reason=str(error))
    except OSError as error:
        return Ending("refused", reason=f"The host could not prepare it: {error.strerror}.")
    finally:
        workplace.clear(work.folder)


def completed(ending: Ending, outputs: tuple[StreamOutput, StreamOutput]) -> CompletedReport:
    """What is told of an attempt that is over; its output ends here."""
    stdout, stderr = (out.finish() for out in outputs)
    return CompletedReport(
        outcome=ending.outcome,
        exit_code=ending.exit_code,
        reason=ending.reason,
        duration_seconds=round(ending.duration_seconds, 3),
        stdout=stdout,
        stderr=stderr,
    )


async def _secrets(work: Work, unsealer: Unsealer) -> dict[str, str]:
    """The job's secret values; from now on no output of it is kept with one of them in it."""
    names = work.payload.secrets if isinstance(work.payload, ScriptPayload | UserControlPayload) else ()
    values = unsealer.open(work.ref, work.sealed, names)
    if values:
        # Not on the loop: large values take a while, and other attempts' output is read meanwhile.
        forms = await asyncio.to_thread(redaction.forms_of_all, values.values())
        for out in work.outputs:
            out.redact(forms)
    return values
