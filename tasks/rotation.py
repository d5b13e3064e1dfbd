"""Rotating the credential of an identity: by its vault, now. Keeps and returns no credential."""

from pydantic import BaseModel, ConfigDict

from definitions.errors import Conflict, OpsgateError
from definitions.permissions import Actor, require
from store import audit
from store.connection import Database
from store.identities import IDENTITIES
from store.vaults import VAULTS
from tasks.vault import VaultClient


class Rotated(BaseModel):
    """An identity whose credential is a new one."""

    model_config = ConfigDict(frozen=True)

    identity: str
    message: str


async def rotate(db: Database, actor: Actor, ref: int | str) -> Rotated:
    """Give the identity a new credential. `Conflict` while somebody has it checked out, or where Opsgate
    can't; `VaultRefusal` when the vault does not do it."""
    require(actor, IDENTITIES.changes)
    view = await IDENTITIES.show(db, actor, ref)
    if view.definition.source != "database_static":
        raise Conflict(f"The credential of {view.name} is not one that its vault replaces by itself.")
    held = await db.fetchval(
        "SELECT count(*) FROM checkouts WHERE identity_id = $1 AND status = 'active'", view.id
    )
    if held:
        raise Conflict(f"{view.name} is checked out ({held}): end that first, or wait for it.")
    vault = (await VAULTS.show(db, actor, view.definition.vault)).definition
    try:
        await VaultClient(vault).rotate(view.definition)
    except OpsgateError as error:
        await _note(db, actor, view.id, "identity.rotate_failed", name=view.name, why=error.message)
        raise
    await _note(db, actor, view.id, "identity.rotate", name=view.name)
    return Rotated(identity=view.name, message=f"{view.name} has a new password; the old one is over.")


async def _note(db: Database, actor: Actor, identity_id: int, action: str, **detail: str) -> None:
    async with db.transaction() as tx:
        await audit.record(tx, actor, action, "identity", identity_id, **detail)
