"""Vaults: where one is and how Opsgate signs in, versioned. Asks no vault anything: that is `tasks.vault`.

While an identity, not archived, lies in a vault, its name stays and it is not archived.
"""

from definitions.errors import Conflict
from definitions.permissions import Actor, require
from definitions.vault import Vault
from store.connection import Database, Row, Tx
from store.references import listed
from store.versioned import Versioned, VersionView


class VaultView(VersionView[Vault]):
    """A vault at one version."""


async def _check(tx: Tx, new: Vault, before: Vault | None) -> None:
    if before is None or before.name == new.name:
        return
    users = await _identities_in(tx, before.name)
    if users:
        raise Conflict(f"The vault {before.name!r} is named by {listed(users)}: its name stays.")


async def _needed_by(tx: Tx, row: Row) -> list[str]:
    return await _identities_in(tx, row["name"])


async def _identities_in(tx: Tx, name: str) -> list[str]:
    """The caller has locked the vault's row, and saving an identity locks it too: none is added meanwhile."""
    return [f"the identity {each!r}" for each in await _names_in(tx, name)]


async def contents(db: Database, actor: Actor, name: str) -> list[str]:
    """The names of the identities, not archived, in a vault."""
    require(actor, VAULTS.sees)
    async with db.connection() as tx:
        return await _names_in(tx, name)


async def _names_in(tx: Tx, name: str) -> list[str]:
    rows = await tx.fetch(
        """SELECT i.name FROM identities i
           JOIN identity_versions v ON v.identity_id = i.id AND v.version = i.version
           WHERE i.archived_at IS NULL AND v.definition ->> 'vault' = $1 ORDER BY i.name""",
        name,
    )
    return [row["name"] for row in rows]


VAULTS = Versioned(
    "vault", "vaults", Vault, VaultView, check=_check, needed_by=_needed_by, realm="pam_vaults"
)
