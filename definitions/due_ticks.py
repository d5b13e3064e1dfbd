"""What the ticks that are due lead to: fire, or be left out, with the reason; and when a template stops.

Pure: the store locks the template, asks this, and writes what it answers. Every tick gets an answer, also
those of an outage; that a tick is answered once is the store's unique row.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from definitions.recurrence import Instant
from definitions.recurring_job import CatchUp, Overlap

PUNCTUAL = timedelta(seconds=60)
"""A tick that is answered within this was not missed: a cron expression has no finer grain."""

BUSY = "What an earlier tick began has not ended."

Outcome = Literal["ran", "skipped", "stopped"]


@dataclass(frozen=True)
class Answer:
    """The line of the ledger for one instant."""

    at: datetime
    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class Standing:
    """How a template stands when it is asked: its rules, and what it has done."""

    overlap: Overlap
    catch_up: CatchUp
    catch_up_limit: int
    max_recurrences: int | None
    end_date: datetime | None
    recurrences: int
    """How many ticks have run."""
    busy: bool
    """Whether what an earlier tick began has not ended."""


@dataclass(frozen=True)
class Answers:
    """What to write."""

    answers: tuple[Answer, ...]
    stopped: str | None
    """Why the template fires no more, if it does not."""


def answer(due: Iterable[Instant], standing: Standing, now: datetime) -> Answers:
    """Answer the instants that are due, the earliest first; none may be later than now."""
    instants = list(due)
    late = [each.at for each in instants if not each.repeat and now - each.at > PUNCTUAL]
    wanted = frozenset(late[max(0, len(late) - _made_up(standing)) :])
    run = _Run(standing)
    answers = tuple(run.answers(instants, frozenset(late), wanted))
    return Answers(answers, run.stopped)


def limit_of(standing: Standing, next_at: datetime | None) -> str | None:
    """Why a template can not fire at its next tick, or None if it can."""
    if standing.max_recurrences is not None and standing.recurrences >= standing.max_recurrences:
        times = "once" if standing.max_recurrences == 1 else f"{standing.max_recurrences} times"
        return f"It has run {times}, which is its limit."
    if next_at is None:
        return "No further tick comes."
    if standing.end_date is not None and next_at > standing.end_date:
        return "No tick is left before its end date."
    return None


def _made_up(standing: Standing) -> int:
    """How many of the missed ticks run after all: the newest ones."""
    return {"skip": 0, "one": 1, "all": standing.catch_up_limit}[standing.catch_up]


class _Run:
    """The standing that passes from one instant to the next."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self.stopped: str | None = None

    def answers(
        self, instants: Iterable[Instant], late: frozenset[datetime], wanted: frozenset[datetime]
    ) -> Iterator[Answer]:
        for instant in instants:
            self.stopped = limit_of(self._standing, instant.at)
            if self.stopped is not None:
                yield Answer(instant.at, "stopped", self.stopped)
                return
            reason = self._left_out(instant, late, wanted)
            if reason is not None:
                yield Answer(instant.at, "skipped", reason)
                continue
            self._standing = replace(self._standing, recurrences=self._standing.recurrences + 1, busy=True)
            yield Answer(instant.at, "ran", "Made up for." if instant.at in late else "On time.")

    def _left_out(
        self, instant: Instant, late: frozenset[datetime], wanted: frozenset[datetime]
    ) -> str | None:
        if instant.repeat:
            return "The clock shows this time for the second time, and the tick belongs to the first."
        if instant.at in late and instant.at not in wanted:
            return "Missed while Opsgate was away; it is not made up for."
        if self._standing.busy and self._standing.overlap == "skip":
            return BUSY
        return None
