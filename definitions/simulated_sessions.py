"""The checkouts of a simulated instance: which identities are open at a moment, and why one is not.

Of time it knows the simulation's own clock. Holds no credential; decides no route.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from definitions.steps import PamCheckinStep

TIME_OVER = "Its time is over."


@dataclass
class _Session:
    step: str
    names: tuple[str, ...]
    until: float | None
    ended: str = ""


@dataclass
class Sessions:
    """In the order in which they were opened."""

    _opened: list[_Session] = field(default_factory=list)

    def open(self, step_id: str, names: Iterable[str], until: float | None) -> None:
        """A checkout is active from now on; `until`: when its time is over, in seconds after the start."""
        self._opened.append(_Session(step_id, tuple(names), until))

    def check_in(self, step: PamCheckinStep, now: float) -> None:
        """End what the step names and is open: nothing named, all of it."""
        for session in self._opened:
            if not self._why_over(session, now) and (not step.checkout or session.step in step.checkout):
                session.ended = f"Checked in by step {step.id}."

    def over(self, now: float) -> dict[str, str]:
        """By name of an identity that nothing can run as any more: why."""
        found: dict[str, str] = {}
        for session in self._opened:
            why = self._why_over(session, now)
            for name in session.names:
                if why and found.get(name) != "":
                    found[name] = why
                elif not why:
                    found[name] = ""
        return {name: why for name, why in found.items() if why}

    def seconds_left(self, name: str, now: float) -> float:
        """For how long what begins now can run as that name, by the newest that is open; `inf`: for ever."""
        until = [one.until for one in self._opened if name in one.names and not self._why_over(one, now)][-1]
        return inf if until is None else until - now

    @staticmethod
    def _why_over(session: _Session, now: float) -> str:
        if not session.ended and session.until is not None and session.until <= now:
            session.ended = TIME_OVER
        return session.ended
