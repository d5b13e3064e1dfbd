"""`/api/v1/vaults`: where credentials are kept, and whether a vault answers."""

from agent_api.authentication import Db, Person
from agent_api.guarded import GuardedRouter
from agent_api.routes.versioned import add_routes
from definitions.vault import parse_vault
from store.vaults import VAULTS
from tasks import vault_tests
from tasks.vault_tests import VaultTest

router = GuardedRouter(prefix="/api/v1/vaults", tags=["credentials"])

add_routes(router, VAULTS, parse_vault)


@router.post("/{ref}/test", permission="pam_vaults.manage")
async def try_out(db: Db, actor: Person, ref: str) -> VaultTest:
    """Sign in to it, and say what came of it; reads no credential."""
    return await vault_tests.try_out(db, actor, ref)
