"""`/api/v1/identities`: privileged accounts, without their credentials."""

from agent_api.authentication import Db, Person
from agent_api.guarded import GuardedRouter
from agent_api.routes.versioned import add_routes
from definitions.identity import parse_identity
from store.identities import IDENTITIES
from tasks import rotation
from tasks.rotation import Rotated

router = GuardedRouter(prefix="/api/v1/identities", tags=["credentials"])

add_routes(router, IDENTITIES, parse_identity)


@router.post("/{ref}/rotate", permission="pam_vaults.manage")
async def rotate(db: Db, actor: Person, ref: str) -> Rotated:
    """Have its credential replaced, and wait for that up to 20 s; when it works, it ends a quarantine. 409
    while it is checked out; 503 says why it failed."""
    return await rotation.rotate(db, actor, ref)
