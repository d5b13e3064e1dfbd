"""What exists in an installation, as the proof needs to know it."""

from collections.abc import Mapping
from dataclasses import dataclass

from definitions.parameters import Parameter
from definitions.script import Language

ENGINE = "@engine"
"""The host that the engine itself runs on. No tag, group or id leads there, only a workflow's step may name
it, and only where a worker is allowed to run such steps."""

NO_ENGINE_STEPS = (
    "engine-steps-off",
    "No worker is allowed to run steps on the engine host.",
    "Set `engine_steps` for a worker (`OPSGATE_ENGINE_STEPS=true`), or name a host.",
)
"""Code, message and fix, wherever that is found out."""


@dataclass(frozen=True)
class ScriptFacts:
    """What the proof needs to know of a saved script."""

    id: int
    name: str
    parameters: tuple[Parameter, ...] = ()
    language: Language = "bash"


@dataclass(frozen=True)
class Catalogue:
    """What exists; a field that is None is not known, and what needs it is left out."""

    scripts: tuple[ScriptFacts, ...] | None = None
    hosts: frozenset[str] | None = None
    """Names, ids as text, the `tag:x` and `group:x` that some host has, and `@engine` where it is allowed."""
    people: Mapping[str, frozenset[int]] | None = None
    """Approver reference -> user ids; a reference that names nobody is missing or empty."""
