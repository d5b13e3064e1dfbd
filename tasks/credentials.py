"""Reads the credential of a job's identity while its agent waits for it: in a few seconds, or not now."""

from definitions.errors import Unavailable
from definitions.identity import Identity
from definitions.vault import Vault
from store.job_credentials import NotRead
from tasks.vault import Credential, VaultClient
from tasks.vault_errors import PASSING, VaultRefusal

READ_SECONDS = 5.0
"""So long at most a poll is kept waiting for a vault."""


async def read_credential(vault: Vault, identity: Identity, seconds: float = READ_SECONDS) -> Credential:
    """As it stands in the vault now; `NotRead`."""
    try:
        return await VaultClient(vault).read(identity, seconds)
    except VaultRefusal as refusal:
        raise NotRead(refusal.message, may_pass=refusal.kind in PASSING) from None
    except Unavailable as error:  # what Opsgate signs in with
        raise NotRead(error.message) from None
