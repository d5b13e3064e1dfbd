"""Jobs as people see them: the views, and the query behind them. Changes nothing."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from definitions.job_types import PRIORITY_NAMES
from definitions.permissions import Actor
from store import job_holds, job_tails, job_waits
from store.connection import Row, Tx
from store.targets import ONLINE_SECONDS

_COLUMNS = f"""j.id, j.type, j.status, j.priority, j.host_id, h.name AS host, j.scheduled_at, j.created_at,
    j.created_by_name AS created_by, j.script_id, j.script_version, j.execution_id, j.instance_id, j.step_id,
    j.recurring_job_id, j.tick_id,
    j.visit, j.attempt, j.timeout_seconds, j.claimed_at, j.started_at, j.ended_at, j.cancel_requested_at,
    j.outcome, j.exit_code, j.reason,
    j.stdout_length, j.stderr_length, j.stdout_truncated, j.stderr_truncated,
    extract(epoch FROM j.ended_at - j.started_at)::float8 AS duration,
    a.last_seen_at, coalesce(a.last_seen_at > now() - interval '{ONLINE_SECONDS} seconds', false) AS online,
    now() AS now, CASE WHEN j.status = 'queued' THEN h.decommissioned_at IS NOT NULL END AS decommissioned,
    CASE WHEN j.status = 'queued' AND j.attempt > 1 THEN (
        SELECT before.reason FROM job_attempts before
        WHERE before.job_id = j.id AND before.attempt = j.attempt - 1) END AS failed_before,
    CASE WHEN j.status = 'queued' THEN (
        SELECT r.title FROM {job_holds.GATES} AND r.status = 'pending'
        ORDER BY r.id LIMIT 1) END AS gate,
    CASE WHEN j.status = 'queued' THEN {job_holds.HELD_UNTIL} END AS held_until,
    CASE WHEN j.status = 'queued' AND j.credential_tries > 0 THEN j.reason END AS not_read,
    CASE WHEN j.status = 'queued' THEN ARRAY (
        SELECT b.id FROM jobs b WHERE b.agent_id = a.id AND b.status IN ('pending', 'running')
        ORDER BY b.id) END AS busy_with,
    j.checkout_id, d.name AS run_as, c.status AS checkout,
    CASE WHEN c.status = 'requested' THEN (
        SELECT r.title FROM approval_requests r WHERE r.checkout_id = c.id AND r.status = 'pending')
        END AS checkout_gate,
    CASE WHEN c.status = 'requested' THEN (
        SELECT min(o.id) FROM checkouts o WHERE o.identity_id = c.identity_id AND o.status = 'active')
        END AS held_by,
    d.rotation_due_at IS NOT NULL AS replaced"""

SELECT = f"""SELECT {_COLUMNS} FROM jobs j JOIN hosts h ON h.id = j.host_id
    LEFT JOIN agents a ON a.host_id = h.id AND a.revoked_at IS NULL
    LEFT JOIN checkouts c ON c.id = j.checkout_id LEFT JOIN identities d ON d.id = c.identity_id"""
"""One row a job; `row_view` reads it. Add WHERE and ORDER BY with the aliases j and h."""

SELECT_WHOLE = SELECT.replace(_COLUMNS, _COLUMNS + ", j.payload, j.libraries")
"""The same with the payload and the libraries in it, for one job."""


class JobRow(BaseModel):
    """One job in a list."""

    model_config = ConfigDict(frozen=True)

    id: int
    type: str
    status: str
    priority: str
    host_id: int
    host: str
    scheduled_at: datetime
    created_at: datetime
    created_by: str
    script_id: int | None
    script_version: int | None
    execution_id: int | None
    """What dispatched it together with others, when that was a script's execution."""
    instance_id: int | None
    step_id: str | None
    visit: int | None
    recurring_job_id: int | None
    """The recurring job whose tick made it."""
    tick_id: int | None
    attempt: int
    retry_count: int
    """How often it was queued again."""
    timeout_seconds: int
    claimed_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    duration: float | None
    """Seconds, once an attempt that ran has ended."""
    cancel_requested_at: datetime | None
    outcome: str | None
    exit_code: int | None
    reason: str
    stdout_length: int
    stderr_length: int
    stdout_truncated: bool
    stderr_truncated: bool
    run_as: str | None
    """The identity it runs as."""
    checkout_id: int | None
    """By which."""
    waits: str | None
    """While it has not started: what it waits for, and when it is given up."""


class AttemptView(BaseModel):
    """One attempt that has ended."""

    model_config = ConfigDict(frozen=True)

    attempt: int
    status: str
    outcome: str | None
    exit_code: int | None
    reason: str
    claimed_at: datetime | None
    started_at: datetime | None
    ended_at: datetime


class LibraryRef(BaseModel):
    """A library that is part of what a job ran."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    version: int


class JobView(JobRow):
    """One job, whole. Of the environment only the names: a value may be somebody's secret."""

    payload: dict[str, Any]
    libraries: list[LibraryRef]
    """In front of the script, in this order."""
    attempts: list[AttemptView]
    stdout: str
    """The last few kilobytes of the newest attempt; all of it is at `output`."""
    stderr: str
    agent_online: bool
    agent_last_seen_at: datetime | None
    """Of the host's agent: where to look when a job is not picked up."""


def may_see(actor: Actor) -> bool:
    """Whether job details may be shown inside something else, such as an instance."""
    return "jobs.view" in actor.permissions


def row_view(row: Row) -> JobRow:
    """The list view of a row of SELECT."""
    return JobRow(**_shown(row))


async def load_row(tx: Tx, job_id: int) -> JobRow | None:
    """One job as it is in a list."""
    row = await tx.fetchrow(f"{SELECT} WHERE j.id = $1", job_id)
    return None if row is None else row_view(row)


async def load(tx: Tx, job_id: int) -> JobView | None:
    """The whole view of one job."""
    row = await tx.fetchrow(f"{SELECT_WHOLE} WHERE j.id = $1", job_id)
    if row is None:
        return None
    attempts = await tx.fetch(
        """SELECT attempt, status, outcome, exit_code, reason, claimed_at, started_at, ended_at
           FROM job_attempts WHERE job_id = $1 ORDER BY attempt""",
        job_id,
    )
    payload = dict(row["payload"])
    if "environment" in payload:
        payload["environment"] = sorted(payload["environment"])
    printed = await job_tails.tails(tx, [(job_id, row["attempt"])])
    return JobView(
        **_shown(row),
        payload=payload,
        libraries=[LibraryRef(**each) for each in row["libraries"]],
        attempts=[AttemptView(**each) for each in attempts],
        stdout=printed[job_id, "stdout"],
        stderr=printed[job_id, "stderr"],
        agent_online=row["online"],
        agent_last_seen_at=row["last_seen_at"],
    )


def _shown(row: Row) -> dict[str, Any]:
    """The fields of a JobRow; what else SELECT has is for the sentence on what a queued job waits for."""
    shown = {name: row[name] for name in JobRow.model_fields if name in row}
    shown["priority"] = PRIORITY_NAMES[row["priority"]]
    shown["retry_count"] = row["attempt"] - 1
    if row["status"] in ("queued", "pending"):
        about = {name: row[name] for name in job_waits.NotStarted._fields}
        shown["waits"] = job_waits.why(job_waits.NotStarted(**about))
    else:
        shown["waits"] = None
    return shown
