"""What the dice seldom give: which of it there is in a case, by what the reference says of that.

Knows of the engine nothing; decides no route, resolves no value.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Any

from tests.definitions.reference_interpreter import NEVER, Event, begun

TAKEN = "the time of a checkout is over while a command runs by it"
TOO_LATE = "or before one begins that would"
WAVE = "a host fails that keeps the next wave from beginning"
READ = "a name is read by which two are checked out"
LATER = "a step runs as whom its name was given to last, and another has it still"
NOBODY = "that one's has ended, and nothing runs as the other"
OTHER = "that one's newest has ended, and it runs by another of that identity"
ASKED = "of two of an identity the one is meant that was asked for first, and given last"
OWN = "a name is given in a branch beside, later, and the branch runs as its own"
SELDOM = (TAKEN, TOO_LATE, WAVE, READ, LATER, NOBODY, OTHER, ASKED, OWN)


@dataclass(frozen=True)
class _Session:
    step: str
    identity: str
    names: tuple[str, ...]
    asked: float
    given: float
    over: float
    """When its time is."""
    ended: float


@dataclass
class Case:
    """A case as the reference interpreter tells it."""

    document: dict[str, Any]
    scenario: dict[str, Any]
    events: list[Event]
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    _branches: dict[str, dict[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._note(self.document["steps"], {})
        self._sessions = sorted(self._checkouts(), key=lambda one: one.given)

    def seldom(self) -> set[str]:
        """What there is in it of `SELDOM`."""
        found = {WAVE for event in self.events if self._keeps_from_beginning(event)}
        for event in self.events:
            step = self.steps[event.step]
            if event.values is not None:
                texts = (step.get("command", ""), step.get("title", ""))
                read = {name for text in texts for name in re.findall(r"(id_\w+)\.username", text)}
                people = [{one.identity for one in self._known(event, name)} for name in read]
                found |= {READ for meant in people if len(meant) > 1}
                found |= {*self._ran_as(event, step.get("run_as", "").strip("{}"))}
        return found

    def _note(self, steps: list[dict[str, Any]], around: dict[str, int]) -> None:
        for step in steps:
            self.steps[step["id"]] = {**step, **step.get("config", {})}
            self._branches[step["id"]] = around
            for number, branch in enumerate(step.get("branches", ())):
                self._note(branch["steps"], {**around, step["id"]: number})

    def _checkouts(self) -> Iterator[_Session]:
        well = [(event, self.steps[event.step]) for event in self.events if event.status == "completed"]
        closed = [
            (event.began, self.steps[event.step]["checkout"])
            for event in self.events
            if self.steps[event.step]["type"] == "pam_checkin" and event.status != "failed"
        ]
        for event, step in well:
            if step["type"] == "pam_checkout":
                over = event.ended + 60 * step.get("duration_minutes", inf)
                own = [at for at, which in closed if not which or step["id"] in which]
                ended = min([over, *(at for at in own if at >= event.ended)])
                names = step["identity"], step["variable_name"]
                yield _Session(step["id"], step["identity"], names, event.began, event.ended, over, ended)

    def _known(self, event: Event, name: str, *, beside: bool = False) -> list[_Session]:
        """What was checked out by that name when a step began, the last at the end; that a branch beside has,
        or all else."""
        own = self._branches[event.step]
        return [
            one
            for one in self._sessions
            if name in one.names and one.given <= event.began
            # In both: steps around that lie in different branches.
            if any(own.get(step, at) != at for step, at in self._branches[one.step].items()) == beside
        ]

    def _ran_as(self, event: Event, name: str) -> Iterator[str]:
        known = self._known(event, name)
        if not known:
            return
        meant = known[-1]
        open_ = [one for one in known if one.ended > event.began]
        others = [one for one in open_ if one.identity != meant.identity]
        if event.by is None:
            yield from [NOBODY] * bool(others) + [TOO_LATE] * (meant.ended == meant.over)
            return
        (by,) = (one for one in known if one.step == event.by)
        same = [one for one in open_ if one.identity == meant.identity and one is not by]
        yield from [TAKEN] * (event.status == "failed" and event.ended == event.until)
        yield from [LATER] * (by is meant and bool(others)) + [OTHER] * (by is not meant)
        yield from [ASKED] * any(one.asked > by.asked for one in same)
        yield from [OWN] * any(one.given > by.given for one in self._known(event, name, beside=True))

    def _keeps_from_beginning(self, event: Event) -> bool:
        """Whether a host has failed and others were to begin only then, and no time was over before."""
        step = self.steps[event.step]
        if step["type"] != "command" or event.values is None or ("run_as" in step and event.by is None):
            return False
        told = self.scenario["steps"][event.step]
        hosts = [{**told, **told.get("hosts", {}).get(host, {})} for host in self.scenario["hosts"]]
        return event.ended == event.began + told["seconds"] and NEVER in begun(step, hosts)
