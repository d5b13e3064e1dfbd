"""Sealing: values that rest only encrypted, and values that travel to one agent only.

At rest: the server's own key (a file), ChaCha20-Poly1305, bound to a context, so that what was
sealed for one thing does not open as another's. On the way: HPKE (RFC 9180) to one agent's public
key for one attempt of one job. It holds no SQL, and no message of it names a value.

The key file has one key a line: 32 random bytes in base64url. The first seals, every one of them
opens; so a new key is put in front, and the old line is taken out when nothing sealed by it is left.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from agent.protocol import SEALED_FOR_IDENTITY, SEALED_SUITE, Credential, key_info, sealed_info
from definitions.errors import Unavailable

KEY_BYTES = 32
_VERSION = b"\x01"
_ID_BYTES, _NONCE_BYTES = 8, 12
_HPKE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)

NO_KEY = "This server has no sealing key, so it takes no secret value: set OPSGATE_SEALING_KEY_FILE."


class CannotOpen(Unavailable):
    """A sealed value does not open: the key is gone, or it was sealed for something else."""

    title = "A sealed value does not open"


class SealingKeys:
    """The keys of this server, the one that seals first."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"a sealing key has {KEY_BYTES} bytes, and there is at least one")
        self._first = _id_of(keys[0])
        self._by_id = {_id_of(key): key for key in keys}

    def __repr__(self) -> str:
        return f"SealingKeys({', '.join(key_id.hex() for key_id in self._by_id)})"

    def seal(self, context: tuple[str | int, ...], values: Mapping[str, str]) -> bytes:
        """Named values as bytes that may rest anywhere; `context` says what they belong to."""
        nonce = os.urandom(_NONCE_BYTES)
        head = _VERSION + self._first
        cipher = ChaCha20Poly1305(self._by_id[self._first])
        return head + nonce + cipher.encrypt(nonce, _encoded(dict(values)), _bound(head, context))

    def open(self, context: tuple[str | int, ...], sealed: bytes) -> dict[str, str]:
        """The values that were sealed for this context; raises `CannotOpen`."""
        head, rest = sealed[: 1 + _ID_BYTES], sealed[1 + _ID_BYTES :]
        key = self._by_id.get(head[1:])
        if head[:1] != _VERSION or key is None:
            raise CannotOpen("A sealed value was sealed by a key that this server does not have.")
        nonce, text = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
        try:
            plain = ChaCha20Poly1305(key).decrypt(nonce, text, _bound(head, context))
        except (InvalidTag, ValueError):
            raise CannotOpen("A sealed value was changed, or was sealed for something else.") from None
        values: dict[str, str] = json.loads(plain)
        return values

    def fingerprint(self, content: bytes) -> bytes:
        """A digest that nobody without the key can try guesses against."""
        oldest = list(self._by_id.values())[-1]
        return hmac.digest(hashlib.sha256(b"opsgate fingerprints" + oldest).digest(), content, "sha256")


def read_keys(path: Path) -> SealingKeys:
    """The keys of a file; raises `Unavailable` when others may read it, or it holds no key."""
    return SealingKeys(key_lines(path, "sealing key"))


def key_lines(path: Path, what: str, *, secret: bool = True) -> list[bytes]:
    """A file of keys, one a line, at least one; raises `Unavailable`, for a secret one also when others may
    read it. No message repeats what is in it."""
    try:
        mode = path.stat().st_mode
        if secret and (not stat.S_ISREG(mode) or mode & 0o077):
            raise Unavailable(f"The {what} file {path} can be read by others: chmod 600 it.")
        text = path.read_text(encoding="ascii")
        keys = [base64.b64decode(_padded(line), b"-_", validate=True) for line in text.split()]
    except OSError as error:
        raise Unavailable(f"The {what} file {path} can't be read: {error.strerror}.") from None
    except (binascii.Error, ValueError):
        keys = []
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise Unavailable(
            f"The {what} file {path} should have one key a line, each {KEY_BYTES} bytes in base64url."
        )
    return keys


def required(keys: SealingKeys | None) -> SealingKeys:
    """The keys; raises `Unavailable` when the server has none."""
    if keys is None:
        raise Unavailable(NO_KEY)
    return keys


def seal_to_agent(
    values: Mapping[str, str],
    public_key: bytes,
    *,
    host_id: int,
    agent_id: int,
    job_id: int,
    attempt: int,
    credential: Credential | None = None,
) -> str:
    """Values that this agent alone can open, for this attempt alone, as `JobMessage.sealed`; with them the
    credential of the identity it runs as.

    Every call gives another text. ValueError: the key is none that can be sealed to.
    """
    info = sealed_info(host_id, agent_id, job_id, attempt)
    content: dict[str, object] = {"values": dict(values)}
    if credential is not None:
        content["credential"] = credential.model_dump(mode="json")
    sealed = _HPKE.encrypt(_encoded(content), X25519PublicKey.from_public_bytes(public_key), info)
    suite = SEALED_SUITE if credential is None else SEALED_FOR_IDENTITY
    return f"{suite}:{base64.b64encode(sealed).decode('ascii')}"


def seal_proof(proof: str, public_key: bytes, *, host_id: int, agent_id: int, new_key: str) -> str:
    """What only who has this key can answer, when it is to be replaced: `KeyReply.challenge`."""
    info = key_info(host_id, agent_id, new_key)
    sealed = _HPKE.encrypt(proof.encode(), X25519PublicKey.from_public_bytes(public_key), info)
    return base64.b64encode(sealed).decode("ascii")


def _id_of(key: bytes) -> bytes:
    return hashlib.sha256(b"opsgate sealing key" + key).digest()[:_ID_BYTES]


def _bound(head: bytes, context: tuple[str | int, ...]) -> bytes:
    return head + json.dumps(["opsgate", *context]).encode()


def _encoded(content: Mapping[str, object]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode()


def _padded(line: str) -> str:
    return line + "=" * (-len(line) % 4)
