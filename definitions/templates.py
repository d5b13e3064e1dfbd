"""Which fields of a step may hold references, and the texts in them. Resolves nothing."""

from collections.abc import Iterator
from typing import Any

from definitions.nearest import pointer_to
from definitions.steps import Step

TEMPLATES: dict[str, tuple[str, ...]] = {
    "script": ("parameters", "run_as"),
    "command": ("command", "run_as"),
    "approval": ("title", "description"),
    "condition": ("condition",),
    "delay": ("until",),
    "pam_checkout": ("reason",),
    "pam_checkin": (),
    "parallel": (),
}
"""The fields of each kind that may hold references."""


def texts(value: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """Every text in a field, with its pointer."""
    if isinstance(value, str):
        yield value, pointer
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(inner, pointer_to(pointer, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from texts(inner, pointer_to(pointer, index))


def templates_of(step: Step, where: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a step in which references stand for their values, with its pointer."""
    for field in TEMPLATES[step.type]:
        yield from texts(getattr(step, field), pointer_to(where, field))
