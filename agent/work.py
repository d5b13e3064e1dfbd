"""What an attempt does on its host once it may start: its secret values, its files, processes, report.

Says nothing to any server and journals nothing: that is the caller's, the agent's or `agent.once`'s.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from agent import credential, interpreters, redaction, runner, sealed, tree, workplace
from agent.output import StreamOutput
from agent.payloads import JobPayload, ScriptPayload, UserControlPayload
from agent.protocol import AttemptRef, CompletedReport, Credential
from agent.runner import Ending, Stop
from agent.sealed import Opened, Unsealer
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
    identity: str | None = None
    """As whom it runs, by a credential that came with it."""


async def carry_out(
    work: Work,
    unsealer: Unsealer,
    launcher: socket.socket,
    stop: "asyncio.Future[Stop]",
    started: Callable[[ProcessTree], None],
) -> Ending:
    """Run it to its end, or say why this host can't. `started` is told of its processes."""
    try:
        opened = await _opened(work, unsealer)
        work.folder.mkdir(mode=0o700, parents=True)
        launch = await interpreters.prepare(work.payload, work.folder, opened.credential)
        launch = replace(launch, secrets={**launch.secrets, **opened.values})
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


async def _opened(work: Work, unsealer: Unsealer) -> Opened:
    """What came sealed with the job; from now on no output of it is kept with any of it in it."""
    names = work.payload.secrets if isinstance(work.payload, ScriptPayload | UserControlPayload) else ()
    opened = unsealer.open(work.ref, work.sealed, names, work.identity)
    if opened.values or opened.credential is not None:
        # Not on the loop: large values take a while, and other attempts' output is read meanwhile.
        forms = await asyncio.to_thread(redaction.forms_of_all, opened.values.values())
        watched = await asyncio.to_thread(_of_credential, opened.credential)
        for out in work.outputs:
            out.redact(forms, watched)
    return opened


def _of_credential(found: Credential | None) -> set[bytes]:
    if found is None:
        return set()
    return redaction.forms_of_all(credential.to_redact(found)).difference(credential.harmless(found))
