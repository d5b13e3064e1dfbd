"""Why a job has not started yet, in one sentence a person can act on. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from definitions.lifecycles.checkout import ENDED, CheckoutStatus

PICK_UP_MINUTES = 30
"""A job not picked up this long after it was due has failed (the manual)."""

_NAMED = 3
"""Jobs listed before 'and n more'."""


class NotStarted(NamedTuple):
    """What is known about a queued or claimed job and its host."""

    now: datetime
    claimed_at: datetime | None
    scheduled_at: datetime
    attempt: int
    failed_before: str | None
    """How the attempt before this one ended."""
    host: str
    decommissioned: bool
    gate: str | None
    """The title of the approval that stands before it."""
    last_seen_at: datetime | None
    """When the host's agent was heard last."""
    online: bool
    busy_with: Sequence[int]
    """The jobs its agent has."""
    run_as: str | None = None
    """The identity it runs as."""
    checkout: str | None = None
    """The status of the checkout by which it does."""
    held_until: datetime | None = None
    """When the last approval that stood before it was decided, or its checkout became active."""
    checkout_gate: str | None = None
    """The title of the approval that the checkout waits for; None: it waits for its turn."""
    held_by: int | None = None
    """The checkout that has the identity until then."""
    replaced: bool = False
    """Whether the identity's credential is to be replaced before anybody gets it."""
    not_read: str | None = None
    """Why the vault did not give the credential it runs by, the last time it was asked."""


def why(job: NotStarted) -> str:
    """The first thing that keeps the job, and when it is given up."""
    if job.claimed_at is not None:
        claimed = f"Claimed by the agent of {job.host} at {_clock(job.claimed_at, job.now)}"
        return f"{claimed}; {_fails(job.claimed_at, job.now)} unless it starts."
    if job.scheduled_at > job.now:
        when = f"{_at(job.scheduled_at, seconds=job.attempt > 1)}, in {_span(job.scheduled_at - job.now)}"
        if job.attempt > 1:
            before = f": {job.failed_before}" if job.failed_before else ""
            return f"Attempt {job.attempt} begins at {when}; the one before failed{before.rstrip('.')}."
        return f"Scheduled for {when}."
    if job.checkout == CheckoutStatus.REQUESTED:
        return _not_checked_out(job)
    if job.checkout in ENDED:
        return f"Its checkout of {job.run_as} has ended; it fails in a moment."
    if job.gate is not None:
        return _for_approval(job.gate)
    fails = _fails(max(job.scheduled_at, job.held_until or job.scheduled_at), job.now)
    if job.not_read is not None:
        return f"{job.not_read.rstrip('.')}; the vault is asked again for what the job runs by."
    if job.decommissioned:
        return f"The host {job.host} was decommissioned; {fails} unless it is enrolled again."
    if job.last_seen_at is None:
        return f"Agent of {job.host} never seen; {fails} unless it picks the job up."
    if not job.online:
        ago = _span(job.now - job.last_seen_at)
        seen = _clock(job.last_seen_at, job.now)
        return f"Agent of {job.host} last seen {seen}, {ago} ago; {fails} unless it picks the job up."
    if job.busy_with:
        return f"The agent of {job.host} is busy with {_jobs(job.busy_with)}; {fails} unless a slot is free."
    return f"The agent of {job.host} is online and picks it up next; {fails} otherwise."


def _not_checked_out(job: NotStarted) -> str:
    """People, another holder or a rotation keep it, so no thirty minutes run."""
    if job.checkout_gate is not None:
        return _for_approval(job.checkout_gate)
    held = "" if job.held_by is None else f", which checkout {job.held_by} has now"
    if job.replaced and not held:
        return f"Waits for {job.run_as}, whose credential is being replaced; it begins when that is done."
    then = " and has a new credential" if job.replaced else ""
    return f"Waits for its turn with {job.run_as}{held}; it begins when that is free{then}."


def _for_approval(title: str) -> str:
    return f"Waits for the approval {title!r}, as long as that is open."


def _fails(since: datetime, now: datetime) -> str:
    left = timedelta(minutes=PICK_UP_MINUTES) - (now - since)
    return f"fails in {max(1, round(left.total_seconds() / 60))} min"


def _jobs(ids: Sequence[int]) -> str:
    names = [f"job {number}" for number in ids[:_NAMED]]
    if len(ids) > _NAMED:
        return f"{', '.join(names)} and {len(ids) - _NAMED} more"
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _at(moment: datetime, *, seconds: bool = False) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M{':%S' if seconds else ''}} UTC"


def _clock(moment: datetime, now: datetime) -> str:
    """The time of day alone when it is that of today."""
    there, here = moment.astimezone(UTC), now.astimezone(UTC)
    return f"{there:%H:%M} UTC" if there.date() == here.date() else _at(moment)


def _span(delta: timedelta) -> str:
    seconds = max(0, int(delta.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 48 * 3600 else f"{seconds // 86400} days"
