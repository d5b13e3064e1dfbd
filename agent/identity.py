"""Who this agent is: the state folder (0700) with its token and private key (0600).

It must not print or log what it holds. A folder or file that others can read is refused.
"""

import fcntl
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import BaseModel

from agent.journal import sync_folder

_RECORD, _TOKEN, _KEY = "agent.json", "token", "private_key"
_NEXT_KEY = f"{_KEY}.next"


class NoIdentity(Exception):
    """The state folder does not hold a usable identity; the message says what to do."""


class _Record(BaseModel):
    server: str
    agent_id: int
    host_id: int
    ca_file: str | None = None


@dataclass(frozen=True)
class Identity:
    """What the agent needs in order to speak to its server."""

    server: str
    agent_id: int
    host_id: int
    ca_file: str | None
    token: str = field(repr=False)
    private_key: X25519PrivateKey = field(repr=False)


def prepare_folder(folder: Path) -> None:
    """Make the state folder, or refuse one that others can look into."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise NoIdentity(f"The state folder {folder} belongs to another user.")
    folder.chmod(0o700)


def is_enrolled(folder: Path) -> bool:
    """Whether an identity is kept here."""
    return (folder / _RECORD).exists()


def save(folder: Path, identity: Identity) -> None:
    """Keep the identity; the record comes last, so that half an identity is none."""
    (folder / _RECORD).unlink(missing_ok=True)
    (folder / _NEXT_KEY).unlink(missing_ok=True)
    _write(folder / _KEY, identity.private_key.private_bytes_raw())
    _write(folder / _TOKEN, identity.token.encode("ascii"))
    record = _Record(
        server=identity.server,
        agent_id=identity.agent_id,
        host_id=identity.host_id,
        ca_file=identity.ca_file,
    )
    _write(folder / _RECORD, record.model_dump_json().encode())


def load(folder: Path) -> Identity:
    """Read the identity. NoIdentity says what is wrong with it."""
    if not is_enrolled(folder):
        raise NoIdentity(f"There is no identity in {folder}: enrol this host first (opsgate-agent enrol).")
    try:
        record = _Record.model_validate_json(_read(folder / _RECORD))
        return Identity(
            server=record.server,
            agent_id=record.agent_id,
            host_id=record.host_id,
            ca_file=record.ca_file,
            token=_read(folder / _TOKEN).decode("ascii").strip(),
            private_key=X25519PrivateKey.from_private_bytes(_read(folder / _KEY)),
        )
    except (OSError, ValueError):
        raise NoIdentity(f"The identity in {folder} can't be read: enrol this host again.") from None


def key_age_seconds(folder: Path) -> float:
    """How long the private key has been there."""
    return max(0.0, time.time() - (folder / _KEY).stat().st_mtime)


def next_key(folder: Path) -> X25519PrivateKey | None:
    """A key that is to replace the private key: the server may or may not know of it. None: there is none."""
    try:
        return X25519PrivateKey.from_private_bytes(_read(folder / _NEXT_KEY))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise OSError(f"{folder / _NEXT_KEY} holds no key") from error


def make_next_key(folder: Path) -> X25519PrivateKey:
    """Make one, and have it on disk."""
    key = X25519PrivateKey.generate()
    _write(folder / _NEXT_KEY, key.private_bytes_raw())
    return key


def settle_next_key(folder: Path) -> None:
    """It is the private key now; the one before is gone from disk."""
    (folder / _NEXT_KEY).replace(folder / _KEY)
    sync_folder(folder)


def lock(folder: Path) -> int:
    """Make sure that one agent runs on this folder; the lock lasts as long as the process."""
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise NoIdentity(f"Another agent already runs on {folder}.") from None
    return fd


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(fd)
    fresh.replace(path)
    sync_folder(path.parent)


def _read(path: Path) -> bytes:
    if path.stat().st_mode & 0o077:
        raise NoIdentity(f"{path} can be read by others: enrol this host again, and mind who saw it.")
    return path.read_bytes()
