"""The checkouts of a simulated instance: which identities are open at a moment, and why one is not.

Of time it knows the simulation's own clock. Holds no credential; decides no route.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf

from definitions.parameters import Value
from definitions.steps import PamCheckinStep, PamCheckoutStep

TIME_OVER = "Its time is over."


@dataclass
class _Session:
    step: PamCheckoutStep
    readable: Mapping[str, Mapping[str, Value]]
    """What can be read of the identity, by the names it has."""
    until: float | None
    ended: str = ""


@dataclass
class Sessions:
    """In the order in which they were opened."""

    _opened: list[_Session] = field(default_factory=list)

    def open(
        self, step: PamCheckoutStep, readable: Mapping[str, Mapping[str, Value]], until: float | None
    ) -> None:
        """A checkout is active from now on; `until`: when its time is over, in seconds after the start."""
        self._opened.append(_Session(step, readable, until))

    def check_in(self, step: PamCheckinStep, now: float) -> None:
        """End what the step names and is open: nothing named, all of it."""
        for session in self._opened:
            if not self._why_over(session, now) and (not step.checkout or session.step.id in step.checkout):
                session.ended = f"Checked in by step {step.id}."

    def known(
        self, now: float, sees: Callable[[str], bool]
    ) -> tuple[dict[str, Mapping[str, Value]], dict[str, str]]:
        """By name of an identity what can be read of it, and why nothing can run as it any more, if so: of
        the checkouts of the steps that are seen, the last that has the name. When that has ended, another
        one of the same identity is as good."""
        readable: dict[str, Mapping[str, Value]] = {}
        why: dict[str, dict[int | str, str]] = {}
        over: dict[str, str] = {}
        for session in self._opened:
            if not sees(session.step.id):
                continue
            for name in session.readable:
                readable[name] = session.readable[name]
                of = why.setdefault(name, {})
                identity = session.step.identity
                if of.get(identity) != "":
                    of[identity] = self._why_over(session, now)
                over[name] = of[identity]
        return readable, {name: reason for name, reason in over.items() if reason}

    def seconds_left(self, name: str, now: float, sees: Callable[[str], bool]) -> float:
        """For how long what begins now can run as that name, by the newest that is open and of the identity
        that is meant; `inf`: for ever."""
        known = [one for one in self._opened if name in one.readable and sees(one.step.id)]
        same = [one for one in known if one.step.identity == known[-1].step.identity]
        until = [one.until for one in same if not self._why_over(one, now)][-1]
        return inf if until is None else until - now

    @staticmethod
    def _why_over(session: _Session, now: float) -> str:
        if not session.ended and session.until is not None and session.until <= now:
            session.ended = TIME_OVER
        return session.ended
