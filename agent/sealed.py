"""Opens what the server sealed to this agent for one attempt: secret parameters, and whom to run as by what.

They stay in memory. Nothing here writes, logs or repeats one.
"""

import base64
import binascii
import contextlib
import json
from collections.abc import Collection
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from pydantic import ValidationError

from agent.protocol import (
    SEALED_FOR_IDENTITY,
    SEALED_SUITE,
    AttemptRef,
    Credential,
    key_info,
    sealed_info,
)

_HPKE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_KEYS_KEPT = 4


class CannotOpen(Exception):
    """The job can't be run with its secret values; the message is a sentence for its reason."""


@dataclass(frozen=True)
class Opened:
    """What came sealed with an attempt."""

    values: dict[str, str] = field(default_factory=dict, repr=False)
    """Its secret parameters, by variable."""
    credential: Credential | None = None
    """By which it becomes the identity it runs as, if it does."""


@dataclass(frozen=True)
class Unsealer:
    """Who this agent is, as far as opening goes."""

    host_id: int
    agent_id: int
    private_key: X25519PrivateKey = field(repr=False)
    more_keys: list[X25519PrivateKey] = field(default_factory=list, repr=False)
    """Others that the server may have sealed to: those that followed this one, the newest first."""

    def open(
        self, ref: AttemptRef, sealed: str | None, names: Collection[str], identity: str | None = None
    ) -> Opened:
        """What is the attempt's: exactly the values that its payload names, and the credential of exactly
        the identity that it runs as. CannotOpen says why not."""
        if sealed is None and not names and identity is None:
            return Opened()
        if sealed is None:
            raise CannotOpen(
                "Its secret values did not come with it: the server could not open them, its log says why."
            )
        opened = self._decrypt(ref, sealed)
        if set(opened.values) != set(names):
            raise CannotOpen("The secret values that came with it are not those that it names.")
        if (None if opened.credential is None else opened.credential.identity) != identity:
            raise CannotOpen("The credential that came with it is not of the identity it runs as.")
        return opened

    def also(self, key: X25519PrivateKey) -> None:
        """Open from now on what is sealed to this key too."""
        self.more_keys[:] = [key, *self.more_keys[: _KEYS_KEPT - 1]]

    def prove(self, challenge: str, new_public_key: str) -> str:
        """What a challenge of the server holds. CannotOpen: it is not for this agent."""
        info = key_info(self.host_id, self.agent_id, new_public_key)
        try:
            return self._plain(base64.b64decode(challenge, validate=True), info).decode("utf-8")
        except (InvalidTag, ValueError):
            raise CannotOpen("The server's challenge does not open.") from None

    def _decrypt(self, ref: AttemptRef, sealed: str) -> Opened:
        suite, _, text = sealed.partition(":")
        if suite not in (SEALED_SUITE, SEALED_FOR_IDENTITY):
            raise CannotOpen("This version of the agent can't open how its values are sealed: update it.")
        info = sealed_info(self.host_id, self.agent_id, ref.job_id, ref.attempt)
        try:
            content = json.loads(self._plain(base64.b64decode(text, validate=True), info))
            values, credential = content["values"], content.get("credential")
        except (InvalidTag, binascii.Error, ValueError, KeyError, TypeError, AttributeError):
            raise CannotOpen(
                "Its secret values do not open: they were sealed for another host, agent, job or attempt, "
                "or were changed on the way."
            ) from None
        well_formed = isinstance(values, dict) and all(_is_text(value) for value in values.values())
        if not well_formed or (credential is not None) != (suite == SEALED_FOR_IDENTITY):
            raise CannotOpen("What came as its secret values has another shape: update the agent.")
        return Opened(values, None if credential is None else _credential(credential))

    def _plain(self, sealed: bytes, info: bytes) -> bytes:
        for key in self.more_keys:
            with contextlib.suppress(InvalidTag):
                return _HPKE.decrypt(sealed, key, info)
        return _HPKE.decrypt(sealed, self.private_key, info)


def _credential(content: object) -> Credential:
    try:
        found = Credential.model_validate(content)
    except ValidationError:  # which would show the content
        found = None
    if found is None or not all(map(_is_text, (found.username, found.secret, found.passphrase or ""))):
        raise CannotOpen("What came as its credential has another shape: update the agent.")
    return found


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
