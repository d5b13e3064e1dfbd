"""Opens what the server sealed to this agent for one attempt: the values of secret parameters.

They stay in memory. Nothing here writes, logs or repeats one.
"""

import base64
import binascii
import json
from collections.abc import Collection
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from agent.protocol import SEALED_SUITE, AttemptRef, sealed_info

_HPKE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


class CannotOpen(Exception):
    """The job can't be run with its secret values; the message is a sentence for its reason."""


@dataclass(frozen=True)
class Unsealer:
    """Who this agent is, as far as opening goes."""

    host_id: int
    agent_id: int
    private_key: X25519PrivateKey = field(repr=False)

    def open(self, ref: AttemptRef, sealed: str | None, names: Collection[str]) -> dict[str, str]:
        """The attempt's secret values, exactly those that its payload names. CannotOpen says why not."""
        if sealed is None and not names:
            return {}
        if sealed is None:
            raise CannotOpen(
                "Its secret values did not come with it: the server could not open them, its log says why."
            )
        values = self._decrypt(ref, sealed)
        if set(values) != set(names):
            raise CannotOpen("The secret values that came with it are not those that it names.")
        return values

    def _decrypt(self, ref: AttemptRef, sealed: str) -> dict[str, str]:
        suite, _, text = sealed.partition(":")
        if suite != SEALED_SUITE:
            raise CannotOpen("This version of the agent can't open how its values are sealed: update it.")
        info = sealed_info(self.host_id, self.agent_id, ref.job_id, ref.attempt)
        try:
            plain = _HPKE.decrypt(base64.b64decode(text, validate=True), self.private_key, info)
            values = json.loads(plain)["values"]
        except (InvalidTag, binascii.Error, ValueError, KeyError, TypeError):
            raise CannotOpen(
                "Its secret values do not open: they were sealed for another host, agent, job or attempt, "
                "or were changed on the way."
            ) from None
        if not isinstance(values, dict) or not all(_is_text(value) for value in values.values()):
            raise CannotOpen("What came as its secret values has another shape: update the agent.")
        return values


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
