"""Whether somebody who reads a stream may still read it: asked again while it goes on.

The route's guard has let the person in once; a stream goes on for minutes. So whatever sends more asks
here first, which finds the person anew every few seconds and remembers it in between.
"""

import time

from starlette.requests import Request

from agent_api import authentication
from definitions.permissions import Actor

AGAIN_SECONDS = 3.0
"""Nothing more is sent to somebody who was last let in longer ago than this."""


class Admission:
    """The person behind one open stream."""

    def __init__(self, request: Request, actor: Actor) -> None:
        """`actor`: whom the route's guard has just let in."""
        self._request, self._actor, self._at = request, actor, time.monotonic()

    async def actor(self) -> Actor:
        """The person, with what they may do now; raises `NotAuthenticated` or `NotPermitted` when the token,
        the session or the right was taken away."""
        if time.monotonic() - self._at >= AGAIN_SECONDS:
            self._actor = await authentication.still_admitted(self._request)
            self._at = time.monotonic()
        return self._actor
