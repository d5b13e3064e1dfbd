"""What exists in an installation, as the proof needs to know it."""

from collections.abc import Mapping
from dataclasses import dataclass

from definitions.identity import Identity
from definitions.parameters import Parameter
from definitions.script import Language
from definitions.steps import PamCheckoutStep, Step
from definitions.workflow import Workflow, all_steps

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
class IdentityFacts:
    """What the proof and a simulation need to know of an identity."""

    id: int
    name: str
    username: str = ""
    credential_type: str = "password"
    domain: str | None = None
    exclusive: bool = False
    max_minutes: int = 60

    @classmethod
    def of(cls, number: int, identity: Identity) -> "IdentityFacts":
        """Of a saved identity, by its id."""
        return cls(
            number,
            identity.name,
            identity.username,
            identity.credential_type,
            identity.domain,
            identity.exclusive,
            identity.max_checkout_minutes,
        )


@dataclass(frozen=True)
class Catalogue:
    """What exists; a field that is None is not known, and what needs it is left out."""

    scripts: tuple[ScriptFacts, ...] | None = None
    hosts: frozenset[str] | None = None
    """Names, ids as text, the `tag:x` and `group:x` that some host has, and `@engine` where it is allowed."""
    people: Mapping[str, frozenset[int]] | None = None
    """Approver reference -> user ids; a reference that names nobody is missing or empty."""
    identities: tuple[IdentityFacts, ...] | None = None

    def identity(self, ref: int | str) -> IdentityFacts | None:
        """The identity of that id or name, if it is known."""
        return next((one for one in self.identities or () if ref in (one.id, one.name)), None)

    def identities_by_name(self, workflow: Workflow) -> Workflow:
        """The same workflow with every identity that is named by its id named by its name, if it is known."""

        def named(step: Step) -> Step:
            if not isinstance(step, PamCheckoutStep) or isinstance(step.identity, str):
                return step
            identity = self.identity(step.identity)
            return step if identity is None else step.model_copy(update={"identity": identity.name})

        steps = all_steps(workflow.steps)
        by_id = any(isinstance(step, PamCheckoutStep) and isinstance(step.identity, int) for step in steps)
        return workflow.changed(named) if by_id else workflow
