"""Jobs as people see them: the views, and the query behind them. Changes nothing."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from definitions.job_types import PRIORITY_NAMES
from definitions.permissions import Actor
from store.connection import Row, Tx
from store.targets import ONLINE_SECONDS

PICK_UP_MINUTES = 30
"""A job not picked up this long after it was due has failed (the manual)."""

_COLUMNS = f"""j.id, j.type, j.status, j.priority, j.host_id, h.name AS host, j.scheduled_at, j.created_at,
    j.created_by_name AS created_by, j.script_id, j.script_version, j.execution_id, j.instance_id, j.step_id,
    j.visit, j.attempt, j.timeout_seconds, j.claimed_at, j.started_at, j.ended_at, j.cancel_requested_at,
    j.outcome, j.exit_code, j.reason,
    j.stdout_length, j.stderr_length, j.stdout_truncated, j.stderr_truncated,
    a.last_seen_at, coalesce(a.last_seen_at > now() - interval '{ONLINE_SECONDS} seconds', false) AS online,
    now() AS now, j.instance_id IS NOT NULL AND EXISTS (
        SELECT 1 FROM approval_requests r
        WHERE r.instance_id = j.instance_id AND r.status = 'pending') AS gated"""

SELECT = f"""SELECT {_COLUMNS} FROM jobs j JOIN hosts h ON h.id = j.host_id
    LEFT JOIN agents a ON a.host_id = h.id AND a.revoked_at IS NULL"""
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
    attempt: int
    timeout_seconds: int
    claimed_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    cancel_requested_at: datetime | None
    outcome: str | None
    exit_code: int | None
    reason: str
    stdout_length: int
    stderr_length: int
    stdout_truncated: bool
    stderr_truncated: bool
    waits: str | None
    """While queued: what it waits for, and when it is given up."""


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


def may_see(actor: Actor) -> bool:
    """Whether job details may be shown inside something else, such as an instance."""
    return "jobs.view" in actor.permissions


def row_view(row: Row) -> JobRow:
    """The list view of a row of SELECT."""
    return JobRow(**_shown(row))


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
    return JobView(**_shown(row), payload=payload, attempts=[AttemptView(**each) for each in attempts])


def _shown(row: Row) -> dict[str, Any]:
    hidden = ("last_seen_at", "online", "now", "gated", "payload")
    shown = {key: value for key, value in row.items() if key not in hidden}
    return {**shown, "priority": PRIORITY_NAMES[row["priority"]], "waits": _waits(row)}


def _waits(row: Row) -> str | None:
    """Why a queued job is still queued, in one sentence."""
    if row["status"] != "queued":
        return None
    host, now = row["host"], row["now"]
    if row["scheduled_at"] > now:
        return f"Due in {_span(row['scheduled_at'] - now)}."
    left = PICK_UP_MINUTES * 60 - (now - row["scheduled_at"]).total_seconds()
    fails = f"fails in {max(1, round(left / 60))} min unless it is picked up"
    if row["gated"]:
        return "Behind an approval that is not decided yet."
    if row["last_seen_at"] is None:
        return f"The agent of {host} has never been heard; {fails}."
    if not row["online"]:
        return f"The agent of {host} was last heard {_span(now - row['last_seen_at'])} ago; {fails}."
    return f"The agent of {host} is online and will pick it up when it has a free slot; {fails}."


def _span(delta: Any) -> str:
    seconds = max(0, int(delta.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
