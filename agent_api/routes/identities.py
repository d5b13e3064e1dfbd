"""`/api/v1/identities`: privileged accounts, without their credentials."""

from agent_api.guarded import GuardedRouter
from agent_api.routes.versioned import add_routes
from definitions.identity import parse_identity
from store.identities import IDENTITIES

router = GuardedRouter(prefix="/api/v1/identities", tags=["credentials"])

add_routes(router, IDENTITIES, parse_identity)
