"""The part of the proof about two checkouts at once: one name means one identity, and nothing that is held
by the workflow itself is waited for by it.

Which of two was meant by a name would be decided by which came later, and by how long each lasts.
"""

from collections.abc import Callable, Iterable, Iterator

from definitions.catalogue import Catalogue
from definitions.graph import checked_in, names_of
from definitions.problems import Problem
from definitions.steps import PamCheckoutStep, Step
from definitions.undoing import path
from definitions.witness import Before, on_the_path


class Overlaps:
    """The checkouts of one workflow, each as a bit, by what they have in common."""

    def __init__(self, steps: Iterable[Step], bit: Callable[[str], int]) -> None:
        """`bit`: of what stands in a set, see `definitions.graph`; of what stands later it is larger."""
        self._steps: dict[int, PamCheckoutStep] = {}
        self._of: dict[int | str, int] = {}
        """By the identity."""
        self._known_as: dict[tuple[str, type], int] = {}
        """By a name, and whether the identity is named by its id: whose id it is may not be known."""
        self._meant: dict[tuple[str, int | str], int] = {}
        """By a name and the identity."""
        for step in steps:
            if isinstance(step, PamCheckoutStep):
                one, identity = bit(checked_in(step.id)), step.identity
                self._steps[one] = step
                self._of[identity] = self._of.get(identity, 0) | one
                for name in names_of(step):
                    kind = name, type(identity)
                    self._known_as[kind] = self._known_as.get(kind, 0) | one
                    self._meant[name, identity] = self._meant.get((name, identity), 0) | one

    def check(self, step: Step, where: str, before: Before, known: Catalogue) -> Iterator[Problem]:
        """Every problem of a step that checks out while another checkout may be open."""
        if isinstance(step, PamCheckoutStep):
            yield from self._one_name(step, where, before)
            identity = known.identity(step.identity)
            if identity is not None and identity.exclusive:
                yield from self._exclusive(step, where, before)

    def _one_name(self, step: PamCheckoutStep, where: str, before: Before) -> Iterator[Problem]:
        for field in ("variable_name", "identity"):
            name = getattr(step, field)
            if not isinstance(name, str):
                continue
            same = self._meant[name, step.identity]
            other = self._open(self._known_as[name, type(step.identity)] & ~same, step, before)
            if other is not None:
                message = (
                    f"`{name}` may still be the identity `{other.identity}`, checked out by `{other.id}`, "
                    f"when it becomes `{step.identity}` here{_how(before, other)}"
                )
                fix = f"Check `{other.id}` in first on every path, or give one of them another name."
                yield _problem(f"{where}/{field}", "one-name-for-two", message, fix)
                return

    def _exclusive(self, step: PamCheckoutStep, where: str, before: Before) -> Iterator[Problem]:
        own = before.graph.bit(checked_in(step.id))
        other = self._open(self._of[step.identity] & ~own, step, before)
        if other is not None:
            message = (
                f"`{step.identity}` is exclusive, and this workflow may hold it already, by `{other.id}`: it "
                f"would wait for itself{_how(before, other)}"
            )
            fix = f"Check `{other.id}` in first on every path."
            yield _problem(f"{where}/identity", "waits-for-itself", message, fix)

    def _open(self, some: int, step: PamCheckoutStep, before: Before) -> PamCheckoutStep | None:
        """The last of some checkouts that may be open; of two in branches side by side the later is told."""
        earlier = before.graph.bit(step.id) - 1
        found = some & (before.undone | (before.beside & earlier))
        return self._steps[1 << (found.bit_length() - 1)] if found else None


def _how(before: Before, other: PamCheckoutStep) -> str:
    return on_the_path(path(before, checked_in(other.id)))


def _problem(pointer: str, code: str, message: str, fix: str) -> Problem:
    return Problem(pointer=pointer, code=code, message=message, fix=fix)
