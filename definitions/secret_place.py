"""Where a secret that Opsgate itself needs stands: `env:NAME` or `file:/PATH`, never the secret.

Opsgate reads it with its own rights, so a reference must not lead to what it keeps for itself: of its
own variables only those made for this are taken. Which files are refused says `tasks.secret_places`.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from agent.payloads import OWN_WORDS

_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_OURS, _FOR_VAULTS = "OPSGATE_", "OPSGATE_VAULT_"
_MESSAGE = (
    f"A secret stands here by reference alone: `env:NAME` or `file:/PATH`; of the variables {_OURS}... "
    f"those that begin with {_FOR_VAULTS}."
)
_FIX = "Put the secret into a file that only Opsgate's user can read, and write `file:/PATH`."


def place_of(reference: str) -> tuple[Literal["env", "file"], str] | None:
    """The kind of place and its name, or None if it is no such reference."""
    kind, _, name = reference.partition(":")
    if kind == "env" and _ENV.fullmatch(name):
        own = name.upper().startswith(_OURS) and not name.startswith(_FOR_VAULTS)
        return None if own else ("env", name)
    if kind == "file" and name.startswith("/") and name.isprintable() and len(name) <= 4096:
        return "file", name
    return None


def _checked(reference: str) -> str:
    if place_of(reference) is None:
        # Without the text: it may be the secret itself, in the wrong place.
        raise PydanticCustomError(OWN_WORDS, "{message}", {"message": _MESSAGE, "fix": _FIX})
    return reference


SecretPlace = Annotated[str, AfterValidator(_checked)]
"""A reference to a secret."""
