"""The keys of the audit trail: who chains signs checkpoints, whoever verifies knows the public keys.

The private key is a file as the sealing key's is, and only the workers need it; the public one is
derived from it. Both files have a key a line, 32 bytes in base64url; the first private one signs.
"""

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from definitions.audit_chain import Checkpoint, checkpoint_bytes
from store.sealing import key_lines

_ID_CHARACTERS = 16


class Signer:
    """Signs checkpoints."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = [Ed25519PrivateKey.from_private_bytes(key) for key in keys]
        self._id = _id_of(self._keys[0].public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"Signer({self._id})"

    def sign(self, seq: int, head: str, at: datetime) -> Checkpoint:
        """The checkpoint of the first `seq` rows, which end with the hash `head`."""
        signature = self._keys[0].sign(checkpoint_bytes(seq, head, at)).hex()
        return Checkpoint(seq=seq, hash=head, at=at, key=self._id, signature=signature)

    def public_lines(self) -> str:
        """The public keys, as the file of those who verify has them."""
        lines = (base64.urlsafe_b64encode(key.public_key().public_bytes_raw()) for key in self._keys)
        return "".join(line.decode("ascii").rstrip("=") + "\n" for line in lines)


class PublicKeys:
    """Whose signature on a checkpoint counts."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._by_id = {_id_of(key): Ed25519PublicKey.from_public_bytes(key) for key in keys}

    def signed(self, checkpoint: Checkpoint) -> bool:
        """Whether one of these keys has signed it."""
        key = self._by_id.get(checkpoint.key)
        content = checkpoint_bytes(checkpoint.seq, checkpoint.hash, checkpoint.at)
        try:
            if key is not None:
                key.verify(bytes.fromhex(checkpoint.signature), content)
        except (InvalidSignature, ValueError):
            return False
        return key is not None


def read_signer(path: Path) -> Signer:
    """The keys of a file; raises `Unavailable` when others may read it, or it holds no key."""
    return Signer(key_lines(path, "audit key"))


def read_public_keys(path: Path) -> PublicKeys:
    """The public keys of a file; raises `Unavailable`."""
    return PublicKeys(key_lines(path, "public audit key", secret=False))


def _id_of(public_key: bytes) -> str:
    return hashlib.sha256(public_key).hexdigest()[:_ID_CHARACTERS]
