"""What an agent says about an attempt: it starts, it has ended. One compare-and-set each.

An identical repeat is accepted, anything else that does not fit is refused and kept. What it says of secrets
in the output is noted in any case (`store.job_leaks`).
"""

import base64
import binascii
import hashlib
import json

from agent.protocol import (
    INLINE_OUTPUT_BYTES,
    CompletedReport,
    StartedReport,
    StateReply,
    StateReport,
    Stream,
    StreamReport,
)
from definitions.lifecycles.job import JobStatus
from definitions.permissions import Actor
from store import channels, job_endings, job_leaks, job_output
from store.connection import Database, Row, Tx
from store.job_endings import Printed

_FROM_PENDING = ("refused", "interrupted", "cancelled")
"""Outcomes of an attempt that never ran; any other needs an acknowledged start."""


class _Refused(Exception):
    """The report does not fit what the store knows; the message says why."""


async def report(db: Database, agent: Actor, job_id: int, attempt: int, said: StateReport) -> StateReply:
    """Take an agent's word about an attempt of its own."""
    about = db, agent, job_id, attempt
    if await (_starts(*about, said) if isinstance(said, StartedReport) else _ends(*about, said)):
        return StateReply(accepted=True)
    async with db.transaction() as tx:
        try:
            job = await job_endings.lock(tx, job_id)
            if job is None:
                raise _Refused("There is no such job.")
            if isinstance(said, CompletedReport):
                await job_leaks.note(tx, agent, job, attempt, _streams(said))
                await _completed(tx, agent, job, attempt, said)
            else:
                _started(agent, job, attempt)
        except _Refused as refused:
            await _keep(tx, agent, job_id, attempt, said, str(refused))
            return StateReply(accepted=False, reason=str(refused))
    return StateReply(accepted=True)


async def _starts(db: Database, agent: Actor, job_id: int, attempt: int, said: StartedReport) -> bool:
    """The one move from pending to running. False: it does not fit, `_started` says why."""
    moved = await db.fetchval(
        f"""UPDATE jobs SET status = 'running', started_at = clock_timestamp()
           WHERE id = $1 AND attempt = $2 AND agent_id = $3 AND status = 'pending'
             AND EXISTS (SELECT 1 FROM agents WHERE id = $3 AND boot_id = $4)
           RETURNING id, {channels.telling("job", "id")}""",
        job_id,
        attempt,
        agent.id,
        said.boot_id,
    )
    return moved is not None


async def _ends(db: Database, agent: Actor, job_id: int, attempt: int, said: CompletedReport) -> bool:
    """The common end, in one statement. False: it is another kind, or does not fit; `_completed` knows."""
    try:
        stdout, stderr = _printed(said.stdout), _printed(said.stderr)
    except _Refused:
        return False
    status, reason = conclusion(said)
    leaked = any(part.redacted or part.credential_redacted for part in _streams(said).values())
    if status is JobStatus.CANCELLED or leaked:
        return False  # the job may know who wanted it; a secret that was printed is audited
    return await job_endings.end_alone(
        db,
        job_id,
        attempt,
        agent.id,
        status,
        reason,
        outcome=said.outcome,
        exit_code=said.exit_code,
        report_sha256=fingerprint(said),
        stdout=stdout,
        stderr=stderr,
    )


def _started(agent: Actor, job: Row, attempt: int) -> None:
    """Whether a start that moved nothing is the repeat of one that did; refuses any other."""
    _own(agent, job, attempt)
    if job["status"] == JobStatus.RUNNING:
        return  # the acknowledgement was lost: nothing ran before it, so it may be given again
    if job["status"] != JobStatus.PENDING:
        raise _Refused(f"The job is {job['status']}: don't run it.")
    raise _Refused("This agent process is not the one that polls.")


async def _completed(tx: Tx, agent: Actor, job: Row, attempt: int, said: CompletedReport) -> None:
    sha256 = fingerprint(said)
    before = await tx.fetchrow(
        "SELECT agent_id, status, report_sha256 FROM job_attempts WHERE job_id = $1 AND attempt = $2",
        job["id"],
        attempt,
    )
    if before is not None:
        if before["agent_id"] == agent.id and before["report_sha256"] == sha256:
            return
        raise _Refused(f"The attempt has ended as {before['status']} already.")
    _own(agent, job, attempt)
    runs = job["status"] == JobStatus.RUNNING
    if not runs and not (job["status"] == JobStatus.PENDING and said.outcome in _FROM_PENDING):
        raise _Refused(f"The job is {job['status']}.")
    for stream, part in _streams(said).items():
        await _keep_output(tx, job, stream, part)
    status, reason = conclusion(said)
    if status is JobStatus.CANCELLED and job["reason"]:
        reason = job["reason"]  # who cancelled it, which the agent does not know
    await job_endings.end(
        tx, job, status, reason, outcome=said.outcome, exit_code=said.exit_code, report_sha256=sha256
    )


def _streams(said: CompletedReport) -> dict[Stream, StreamReport]:
    return {"stdout": said.stdout, "stderr": said.stderr}


def conclusion(said: CompletedReport) -> tuple[JobStatus, str]:
    """The status an outcome leads to, and the reason in words."""
    reason = said.reason.replace("\0", "�")[:1000]
    match said.outcome:
        case "exited" if said.exit_code == 0:
            return JobStatus.COMPLETED, ""
        case "exited":
            return (
                JobStatus.FAILED,
                "no exit code" if said.exit_code is None else f"exit code {said.exit_code}",
            )
        case "timeout":
            return JobStatus.TIMEOUT, reason or "It took longer than its timeout and was stopped."
        case "cancelled":
            return JobStatus.CANCELLED, reason or "It was stopped."
        case "interrupted":
            return JobStatus.FAILED, reason or "The agent stopped while it ran."
        case "refused":
            return JobStatus.FAILED, reason or "The agent refused to run it."


def fingerprint(said: CompletedReport) -> bytes:
    """What an identical repeat has in common with the first."""
    text = json.dumps(said.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _own(agent: Actor, job: Row, attempt: int) -> None:
    """Attempts belong to the agent that claimed them; a retried job's old attempt to nobody."""
    if job["agent_id"] != agent.id or job["attempt"] != attempt:
        raise _Refused("The attempt is not this agent's.")


async def _keep_output(tx: Tx, job: Row, stream: Stream, said: StreamReport) -> None:
    """Store output that came with the report; flag what is known to be missing."""
    stored = job[f"{stream}_length"]
    if said.inline is not None and stored == 0:
        data = _inline(said)
        if data:
            await job_output.store(tx, job["id"], job["attempt"], stream, 0, 0, data)
        stored = len(data)
    if said.truncated or said.total > stored:
        await tx.execute(f"UPDATE jobs SET {stream}_truncated = true WHERE id = $1", job["id"])


def _printed(said: StreamReport) -> Printed:
    return Printed(_inline(said), said.truncated, said.total)


def _inline(said: StreamReport) -> bytes:
    """The output that came with a report."""
    try:
        data = base64.b64decode(said.inline or "", validate=True)
    except (binascii.Error, ValueError):
        raise _Refused("The inline output is not base64.") from None
    if len(data) > INLINE_OUTPUT_BYTES:
        raise _Refused(f"The inline output is longer than {INLINE_OUTPUT_BYTES} bytes.")
    return data


async def _keep(tx: Tx, agent: Actor, job_id: int, attempt: int, said: StateReport, reason: str) -> None:
    """Keep a refused report for the audit, without its output."""
    kept = said.model_dump(mode="json", exclude={"stdout": {"inline"}, "stderr": {"inline"}})
    text = json.dumps(kept).replace("\\u0000", "\\ufffd")
    await tx.execute(
        "INSERT INTO refused_reports (job_id, attempt, agent_id, report, reason) VALUES ($1, $2, $3, $4, $5)",
        job_id,
        attempt,
        agent.id,
        json.loads(text),
        reason,
    )
