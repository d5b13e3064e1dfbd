"""Notices: what people are told of, in which words, and when a failed one is tried again. Pure.

A text holds names, a gate's title, counts and moments: never a value of an input or parameter, never
output. The link opens a page; it decides nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from definitions.harmless import unlinked, visible

Event = Literal[
    "approval.asked",
    "approval.reminder",
    "approval.decided",
    "approval.expired",
    "instance.failed",
    "identity.quarantined",
    "identity.leaked",
    "test",
]

EVENTS: dict[Event, str] = {
    "approval.asked": "An approval waits for a decision",
    "approval.reminder": "The deadline of an undecided approval comes near",
    "approval.decided": "An approval was decided",
    "approval.expired": "Nobody decided an approval in time",
    "instance.failed": "An instance of a workflow failed",
    "identity.quarantined": "The credential of an identity could not be replaced",
    "identity.leaked": "A credential was printed that Opsgate can't have replaced",
}
"""What a channel can be told of."""

LONGEST_LEAD = timedelta(hours=1)
"""How long before a deadline people are reminded at the earliest."""

MOST_TRIES = 10
_FIRST_PAUSE, _LONGEST_PAUSE = 5, 600
_TITLE = 150


@dataclass(frozen=True)
class Facts:
    """What a notice may speak of."""

    workflow: str
    """Empty: it is about a checkout for jobs alone."""
    instance_id: int | None
    started_by: str
    hosts: int
    title: str = ""
    """The gate's."""
    status: str = ""
    deadline: datetime | None = None
    path: str = ""
    """Of the page it links to."""
    reason: str = ""
    """Why an identity is quarantined, or can't be rotated, in Opsgate's own words."""
    job_id: int | None = None
    """Which job has printed the credential."""


def remind_at(opened: datetime, deadline: datetime) -> datetime:
    """When to remind: when a quarter of the time is left, an hour at most."""
    return deadline - min(LONGEST_LEAD, (deadline - opened) / 4)


def pause(tries: int) -> timedelta | None:
    """How long to wait after so many failed tries; None: it is given up."""
    if tries >= MOST_TRIES:
        return None
    return timedelta(seconds=min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (tries - 1)))


def text(event: Event, facts: Facts, public_url: str) -> tuple[str, str]:
    """Title and body, plain text; without a link when nobody said where the pages are."""
    if event == "test":
        return "Opsgate: a test", "This is what a notice of Opsgate looks like. Nothing is to be done."
    if event == "identity.quarantined":
        return _quarantined(facts, public_url)
    if event == "identity.leaked":
        return _leaked(facts, public_url)
    run = f"{_plain(facts.workflow)} #{facts.instance_id}" if facts.instance_id else _plain(facts.workflow)
    hosts = "1 host" if facts.hosts == 1 else f"{facts.hosts} hosts"
    what = f"Workflow {run}, started by" if run else "Asked for by"
    lines = [f"{what} {_plain(facts.started_by)}, for {hosts}."]
    if event in ("approval.asked", "approval.reminder") and facts.deadline is not None:
        moment = facts.deadline.astimezone(UTC)
        lines.append(f"If nobody decides by {moment:%Y-%m-%d %H:%M} UTC, it counts as rejected.")
    lines += _link(facts, public_url)
    return f"{_heading(event, facts.status)}: {_plain(facts.title) or run}", "\n".join(lines)


def _quarantined(facts: Facts, public_url: str) -> tuple[str, str]:
    name = _plain(facts.title)
    lines = [
        f"Opsgate could not have the credential of {name} replaced: {_plain(facts.reason)}",
        f"Nobody can check it out until `opsgate identity rotate {name}` has worked.",
        *_link(facts, public_url),
    ]
    return f"Quarantined: {name}", "\n".join(lines)


def _leaked(facts: Facts, public_url: str) -> tuple[str, str]:
    name = _plain(facts.title)
    lines = [
        f"The credential of {name} stood in the output of job {facts.job_id}, where it was masked.",
        f"Opsgate does not replace it: {_plain(facts.reason)}",
        "Replace it by hand, where it is accepted and in its vault: whoever had it printed may have it.",
        *_link(facts, public_url),
    ]
    return f"To be replaced by hand: {name}", "\n".join(lines)


def _link(facts: Facts, public_url: str) -> list[str]:
    return [f"See it: {public_url.rstrip('/')}{facts.path}"] if public_url and facts.path else []


def _heading(event: Event, status: str) -> str:
    headings: dict[Event, str] = {
        "approval.asked": "Approval needed",
        "approval.reminder": "Still to be decided",
        "approval.decided": status.capitalize(),
        "approval.expired": "Expired",
        "instance.failed": "Failed",
    }
    return headings[event]


def _plain(line: str) -> str:
    """One line, of bounded length, with nothing in it that can't be seen; chats read Markdown in it, and the
    only link of a notice is ours."""
    line = visible(" ".join(line.split()))
    return unlinked(line if len(line) <= _TITLE else line[: _TITLE - 1] + "…")


def chosen(events: Sequence[str]) -> list[Event]:
    """The events of these names, in their own order; a name that is none is left out."""
    return [event for event in EVENTS if event in events]
