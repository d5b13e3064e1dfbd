"""Secrets that are shown once: made here, kept as SHA-256 only.

256 random bits need no slow hash; passwords do, and live in `store.users`.
"""

import hashlib
import secrets
from typing import Literal

Prefix = Literal["ogt_", "ogs_", "oga_", "ogw_"]
"""Token of a person, organisation secret, token of an agent, web session."""


def fresh(prefix: Prefix) -> str:
    """A new secret; the prefix tells secret scanners, and us, what leaked."""
    return prefix + secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """What is stored and looked up."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
