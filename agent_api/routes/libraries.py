"""`/api/v1/libraries`: functions that scripts link, and their versions."""

from agent_api.guarded import GuardedRouter
from agent_api.routes.versioned import add_routes
from definitions.library import parse_library
from store.libraries import LIBRARIES

router = GuardedRouter(prefix="/api/v1/libraries", tags=["libraries"])

add_routes(router, LIBRARIES, parse_library)
