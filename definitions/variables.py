"""References `{{...}}`: found, resolved, bound to a command's environment.

One regular grammar, one pass: what a reference resolves to is never scanned again. Values stay
data: nothing here puts a value into a text that will be run (`bind_command` binds names).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict

from definitions.errors import Invalid
from definitions.parameters import Value
from definitions.problems import Problem

Shell = Literal["bash", "powershell"]
BLOCKED = "***CREDENTIAL_BLOCKED***"


class HostFacts(BaseModel):
    """What a step's job left on one host."""

    model_config = ConfigDict(frozen=True)

    host: str
    stdout: str = ""
    stderr: str = ""
    exit_code: int | None = None


class StepFacts(BaseModel):
    """What a step left, its hosts in target order; stored with the step's result."""

    model_config = ConfigDict(frozen=True)

    hosts: tuple[HostFacts, ...] = ()


@dataclass(frozen=True)
class Scope:
    """Everything a reference may refer to."""

    inputs: Mapping[str, Value]
    instance: Mapping[str, Value]
    results: Mapping[str, StepFacts | None]
    """By step id; None or missing: the step never ran."""
    identities: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)


class Unresolved(Invalid):
    """A reference has no value."""

    title = "A reference has no value"

    def __init__(self, reference: str, message: str) -> None:
        super().__init__(message)
        self.reference = reference


@dataclass(frozen=True)
class Reference:
    """One `{{...}}` in a text."""

    text: str
    """As written, braces and all."""
    path: tuple[str, ...]
    """Without `variables.`."""
    start: int
    end: int


@dataclass(frozen=True)
class BoundCommand:
    """A command whose values stand in the environment."""

    text: str
    environment: dict[str, str]


def scope(
    *,
    inputs: Mapping[str, Value],
    instance: Mapping[str, Value],
    results: Mapping[str, StepFacts | None],
    identities: Mapping[str, Mapping[str, Value]] | None = None,
) -> Scope:
    """What the references of one instance may refer to now."""
    return Scope(inputs, instance, results, identities or {})


def references(text: str) -> tuple[Reference, ...]:
    """Every reference in a text, in order."""
    raise NotImplementedError


def resolve(template: Value, scope: Scope) -> Value:
    """The template with every reference replaced; raises `Unresolved`."""
    raise NotImplementedError


def bind_command(command: str, shell: Shell, scope: Scope) -> BoundCommand:
    """The command with its references bound to `OPSGATE_V<n>`; raises `Unresolved` or `Invalid`."""
    raise NotImplementedError


def lint_command(command: str, shell: Shell) -> list[Problem]:
    """Every reference that stands where its value would not be safe as data."""
    raise NotImplementedError
