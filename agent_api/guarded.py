"""The router that lets nobody in by default.

Every route declares exactly one guard: `permission="..."` (a person who has it), `signed_in="why"`
(any person, for what concerns only them), `public="why"` (anybody), or `agent=True` (an agent's
token). A route without one can't be written: the module that tries does not import. The guard runs
before the body is read; the endpoint gets the actor by `authentication.Person` or `.Agent`.

Also the one place of `Idempotency-Key`: a POST with `creates=True` answers a repeated key with
the first answer; with `secret=True` the answer is not kept, and a repeat is refused.
"""

from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.requests import Request
from starlette.responses import Response

from agent_api import authentication, repeats
from agent_api.description import GUARD
from definitions.permissions import PERMISSIONS, Actor, require

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
Authenticate = Callable[[Request], Awaitable[Actor]]

_GUARD, _PERSON = "__opsgate_guard__", "__opsgate_person__"


@dataclass(frozen=True)
class Guard:
    """Who a route is for, and whether a POST of it may be repeated by key."""

    permission: str | None = None
    signed_in: str | None = None
    public: str | None = None
    agent: bool = False
    creates: bool = False
    secret: bool = False

    def __post_init__(self) -> None:
        declared = [self.permission, self.signed_in, self.public, self.agent or None]
        if sum(value is not None for value in declared) != 1 or "" in declared:
            raise TypeError(
                "A route declares exactly one of permission='...', signed_in='why', public='why', agent=True."
            )
        if self.permission is not None and self.permission not in PERMISSIONS:
            raise TypeError(f"There is no permission {self.permission!r}.")


class GuardedRoute(APIRoute):
    """A route that runs its guard first."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The guard, then idempotency, then FastAPI's own handler."""
        handle = super().get_route_handler()
        guard = guard_of(self.endpoint)
        if guard is None:
            raise TypeError(f"{self.path} has no guard.")
        authenticate: Authenticate = vars(self.endpoint)[_PERSON]

        async def guarded(request: Request) -> Response:
            if guard.public is not None:
                return await handle(request)
            if guard.agent:
                request.state.actor = await authentication.agent(request)
                return await handle(request)
            request.state.admit = partial(_admit, guard, authenticate)
            actor = request.state.actor = await request.state.admit(request)
            if guard.creates:
                return await repeats.once(request, actor, handle, keep=not guard.secret)
            return await handle(request)

        return guarded


async def _admit(guard: Guard, authenticate: Authenticate, request: Request) -> Actor:
    """The person asking, if the route is for them."""
    actor = await authenticate(request)
    if guard.permission is not None:
        require(actor, guard.permission)
    return actor


class GuardedRouter(APIRouter):
    """An `APIRouter` whose routes must each declare a guard.

    `person` says how people are recognised: for the API a bearer token or the session cookie
    with its CSRF header; the pages pass their own, which reads the form.
    """

    def __init__(self, *args: Any, person: Authenticate = authentication.person, **kwargs: Any) -> None:
        kwargs.setdefault("route_class", GuardedRoute)
        super().__init__(*args, **kwargs)
        self._person = person

    def _guarded(
        self, path: str, methods: Sequence[str], given: dict[str, Any]
    ) -> Callable[[Endpoint], Endpoint]:
        names = ("permission", "signed_in", "public", "agent", "creates", "secret")
        guard = Guard(**{name: given.pop(name) for name in names if name in given})

        def register(endpoint: Endpoint) -> Endpoint:
            if guard_of(endpoint) not in (None, guard):
                raise TypeError(f"{endpoint.__name__} is already routed with another guard.")
            vars(endpoint)[_GUARD] = guard
            vars(endpoint)[_PERSON] = self._person
            extra = {GUARD: describe(guard), **given.pop("openapi_extra", {})}
            self.add_api_route(path, endpoint, methods=list(methods), openapi_extra=extra, **given)
            return endpoint

        return register

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **given: Any) -> None:
        """Refuse an endpoint that has declared no guard."""
        if guard_of(endpoint) is None:
            raise TypeError(f"{path} has no guard.")
        super().add_api_route(path, endpoint, **given)

    def get(self, path: str, **given: Any) -> Callable[[Endpoint], Endpoint]:
        """Register a GET with its guard."""
        return self._guarded(path, ["GET"], given)

    def post(self, path: str, **given: Any) -> Callable[[Endpoint], Endpoint]:
        """Register a POST with its guard."""
        return self._guarded(path, ["POST"], given)

    def put(self, path: str, **given: Any) -> Callable[[Endpoint], Endpoint]:
        """Register a PUT with its guard."""
        return self._guarded(path, ["PUT"], given)

    def patch(self, path: str, **given: Any) -> Callable[[Endpoint], Endpoint]:
        """Register a PATCH with its guard."""
        return self._guarded(path, ["PATCH"], given)

    def delete(self, path: str, **given: Any) -> Callable[[Endpoint], Endpoint]:
        """Register a DELETE with its guard."""
        return self._guarded(path, ["DELETE"], given)


def guard_of(endpoint: Callable[..., Any] | None) -> Guard | None:
    """The guard an endpoint was registered with."""
    return getattr(endpoint, _GUARD, None)


def describe(guard: Guard) -> str:
    """The guard in a few words, for the OpenAPI document."""
    if guard.permission is not None:
        return f"permission {guard.permission}"
    return (
        "agent"
        if guard.agent
        else f"signed in: {guard.signed_in}"
        if guard.signed_in
        else f"public: {guard.public}"
    )


def routes(app: FastAPI) -> Iterator[tuple[str, str, Guard | None]]:
    """Every (method, path, guard) of the application; guard None: not ours (static files, mounts)."""
    for context in iter_route_contexts(app.routes):
        for method in sorted(context.methods or {"*"}):
            yield method, context.path or "", guard_of(context.endpoint)
