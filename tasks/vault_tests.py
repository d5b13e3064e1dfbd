"""Trying a vault out: does it answer, does it know Opsgate, and if not, why. Reads no credential."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from definitions.errors import Unavailable
from definitions.permissions import Actor, require
from store import audit
from store.connection import Database
from store.vaults import VAULTS
from tasks.vault import VaultClient
from tasks.vault_errors import Kind, VaultRefusal


class VaultTest(BaseModel):
    """What came of it."""

    model_config = ConfigDict(frozen=True)

    works: bool
    reason: Kind | Literal["secret"] | None
    """Why it does not work: `secret` is what Opsgate signs in with, which it can't read."""
    message: str


async def try_out(db: Database, actor: Actor, ref: int | str) -> VaultTest:
    """Sign in to a vault, by id or name; what is wrong is a result, not an error."""
    require(actor, VAULTS.changes)
    view = await VAULTS.show(db, actor, ref)
    try:
        found = VaultTest(works=True, reason=None, message=await VaultClient(view.definition).test())
    except VaultRefusal as refusal:
        found = VaultTest(works=False, reason=refusal.kind, message=refusal.message)
    except Unavailable as error:
        found = VaultTest(works=False, reason="secret", message=error.message)
    async with db.transaction() as tx:
        detail = {"name": view.name, "works": found.works, "reason": found.reason}
        await audit.record(tx, actor, "vault.test", "vault", view.id, **detail)
    return found
