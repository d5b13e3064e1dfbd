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
from definitions.errors import Unavailable
from store.sealing import key_lines

_ID_CHARACTERS = 16


class Signer:
    """Signs checkpoints."""

    def __init__(self, keys: Sequence[bytes], memory: Path | None = None) -> None:
        self._memory = memory
        self._keys = [Ed25519PrivateKey.from_private_bytes(key) for key in keys]
        self._id = _id_of(self._keys[0].public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"Signer({self._id})"

    def sign(self, last: Checkpoint | None, seq: int, head: str, at: datetime) -> Checkpoint:
        """The checkpoint of the first `seq` rows, which end with the hash `head`. `last`: the one before."""
        number, previous = (1, "") if last is None else (last.number + 1, last.signature)
        signature = self._keys[0].sign(checkpoint_bytes(number, previous, seq, head, at)).hex()
        return Checkpoint(
            number=number, previous=previous, seq=seq, hash=head, at=at, key=self._id, signature=signature
        )

    def remembered(self) -> Checkpoint | None:
        """The last checkpoint that was signed here, from the file beside the key; `Unavailable` if it can't
        be read: then nothing is signed, for it may say that something is gone."""
        if self._memory is None or not self._memory.exists():
            return None
        try:
            return Checkpoint.model_validate_json(self._memory.read_bytes())
        except (OSError, ValueError) as error:
            raise Unavailable(f"What was signed last can't be read: {self._memory}.") from error

    def remember(self, checkpoint: Checkpoint) -> None:
        """Keep what was signed last, where who may write to the database can't. Raises `OSError`."""
        if self._memory is not None:
            fresh = self._memory.with_name(f"{self._memory.name}.new")
            fresh.write_text(checkpoint.model_dump_json() + "\n", encoding="ascii")
            fresh.replace(self._memory)

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
        content = checkpoint_bytes(
            checkpoint.number, checkpoint.previous, checkpoint.seq, checkpoint.hash, checkpoint.at
        )
        try:
            if key is not None:
                key.verify(bytes.fromhex(checkpoint.signature), content)
        except (InvalidSignature, ValueError):
            return False
        return key is not None


def read_signer(path: Path) -> Signer:
    """The keys of a file; raises `Unavailable` when others may read it, or it holds no key."""
    return Signer(key_lines(path, "audit key"), path.with_name(f"{path.name}.last"))


def read_public_keys(path: Path) -> PublicKeys:
    """The public keys of a file; raises `Unavailable`."""
    return PublicKeys(key_lines(path, "public audit key", secret=False))


def _id_of(public_key: bytes) -> str:
    return hashlib.sha256(public_key).hexdigest()[:_ID_CHARACTERS]
