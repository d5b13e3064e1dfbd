"""What exists in an installation, as the proof needs to know it."""

from collections.abc import Mapping
from dataclasses import dataclass

from definitions.parameters import Parameter
from definitions.script import Language


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
    """Names, ids as text, and the `tag:x` and `group:x` that some host has."""
    people: Mapping[str, frozenset[int]] | None = None
    """Approver reference -> user ids; a reference that names nobody is missing or empty."""
