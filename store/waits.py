"""What an instance waits for, in one sentence a person can act on. Pure."""

from collections.abc import Sequence
from datetime import datetime

from store.approval_views import ApprovalView
from store.connection import Row
from store.step_jobs import StepJobView

_NAMED = 5
"""Names listed before 'and n more'."""


def for_request(request: ApprovalView) -> str:
    """An open gate: what is asked, of whom, how far it is, until when."""
    voted = {vote.user_id for vote in request.votes}
    asked = [person.name for person in request.eligible if person.id not in voted]
    until = f", until {_moment(request.deadline)}" if request.deadline is not None else ""
    approved = sum(vote.decision == "approve" for vote in request.votes)
    count = f" ({approved} of {request.quorum})" if request.quorum > 1 else ""
    return f"Approval of {request.title!r}{count} by {_named(asked, 'or')}{until}."


def for_step(
    name: str,
    wake_at: datetime | None,
    jobs: Sequence[StepJobView],
    later: Sequence[str] = (),
    deadline: datetime | None = None,
) -> str:
    """An open step: a delay's end, or the hosts whose jobs are not over; those that have none yet (`later`),
    and until when it has time."""
    if wake_at is not None and not jobs:
        return f"{name}: waiting until {_moment(wake_at)}."
    left = [job for job in jobs if job.duration is None and job.status in ("queued", "pending", "running")]
    if not left:
        return f"{name}: about to go on."
    doing = _named([f"{job.host} ({job.status})" for job in left], "and")
    held_up = next((f" {job.waits}" for job in left if job.waits), "")
    behind = f" Not begun yet: {_named(later, 'and')}." if later else ""
    until = f" It has time until {_moment(deadline)}." if deadline is not None else ""
    return f"{name}: {len(left)} of {len(jobs)} jobs not over, on {doing}.{held_up}{behind}{until}"


def for_identity(name: str, identity: str, deadline: datetime | None) -> str:
    """An open step that begins once what it runs as is checked out again."""
    until = f" It has time until {_moment(deadline)}." if deadline is not None else ""
    return f"{name}: waits until {identity} is checked out.{until}"


def for_turn(identity: str, row: Row) -> str:
    """A checkout that waits for its turn with the identity: who holds that, what is to be done before anybody
    else gets it, and who comes first. `row` has until when it is held at the latest, if it is, and by which
    instance; whether its credential is to be replaced; how many are before it."""
    why = []
    if row["until"] is not None:
        holder = f"instance {row['holder']}" if row["holder"] is not None else "somebody"
        why.append(f"{holder} holds it, until {_moment(row['until'])} at the latest")
    if row["replaced"]:
        why.append("its credential is replaced then" if why else "its credential is being replaced")
    before = f" {row['before']} more come{'s' * (row['before'] == 1)} first." if row["before"] else ""
    return f"Waits until {identity} is free{': ' if why else ''}{'; '.join(why)}.{before}"


def _named(names: Sequence[str], last: str) -> str:
    shown = list(names[:_NAMED])
    if len(names) > _NAMED:
        return f"{', '.join(shown)} {last} {len(names) - _NAMED} more"
    return f" {last} ".join(part for part in (", ".join(shown[:-1]), *shown[-1:]) if part)


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
