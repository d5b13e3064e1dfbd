"""`/settings`: one's channels for notices, those of roles for who manages them, and what did not arrive."""

from collections.abc import Awaitable, Sequence

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from agent_api.authentication import Db, Person
from agent_api.ids import Id
from agent_api.problem_responses import status_of
from approvals_ui.forms import form, text
from approvals_ui.rendering import page
from approvals_ui.visitor import pages_router
from definitions.errors import OpsgateError
from definitions.notices import EVENTS
from definitions.permissions import Actor, may
from store import notice_channels, notice_deliveries, roles
from store.connection import Database
from store.notice_channels import MANAGE

router = pages_router()
OWN = "one's own channels; those of roles take users.manage"
SHOWN = 200
RECENT = 20


@router.get("/settings", signed_in=OWN)
async def show(request: Request, db: Db, actor: Person) -> Response:
    """Channels, and the form for a new one."""
    return await _page(request, db, actor)


@router.post("/settings/notices", signed_in=OWN)
async def add(request: Request, db: Db, actor: Person) -> Response:
    """Set up a channel; a refusal comes back with its reasons and what was filled in, but for the address."""
    fields = await form(request)
    name, role = text(fields, "name"), text(fields, "role") or None
    events = [value for value in fields.getlist("event") if isinstance(value, str)]
    try:
        await notice_channels.add(db, actor, name, text(fields, "url").strip(), role=role, events=events)
    except OpsgateError as refused:
        return await _page(request, db, actor, name, role, events, refused)
    return RedirectResponse("/settings", 303)


@router.post("/settings/notices/{channel_id}/test", signed_in=OWN)
async def try_out(request: Request, db: Db, actor: Person, channel_id: Id) -> Response:
    """Send a notice that says nothing."""
    return await _done(request, db, actor, notice_channels.try_out(db, actor, channel_id))


@router.post("/settings/notices/{channel_id}/remove", signed_in=OWN)
async def remove(request: Request, db: Db, actor: Person, channel_id: Id) -> Response:
    """Forget a channel."""
    return await _done(request, db, actor, notice_channels.remove(db, actor, channel_id))


@router.post("/settings/deliveries/{delivery_id}/retry", signed_in=OWN)
async def retry(request: Request, db: Db, actor: Person, delivery_id: Id) -> Response:
    """Try a notice that was given up again."""
    return await _done(request, db, actor, notice_deliveries.retry(db, actor, delivery_id))


async def _done(request: Request, db: Database, actor: Actor, deed: Awaitable[None]) -> Response:
    try:
        await deed
    except OpsgateError as refused:
        return await _page(request, db, actor, refused=refused)
    return RedirectResponse("/settings", 303)


async def _page(
    request: Request,
    db: Database,
    actor: Actor,
    name: str = "",
    role: str | None = None,
    events: Sequence[str] = tuple(EVENTS),
    refused: OpsgateError | None = None,
) -> Response:
    manages = may(actor, MANAGE) is None
    recent = (await notice_deliveries.listing(db, actor, limit=RECENT)).items
    return page(
        request,
        "settings.html",
        status_of(refused) if refused else 200,
        channels=(await notice_channels.listing(db, actor, every=manages, limit=SHOWN)).items,
        dead=(await notice_deliveries.listing(db, actor, state="dead", limit=RECENT)).items,
        recent=[row for row in recent if row.state != "dead"],
        roles=[each.name for each in await roles.listing(db, actor)] if manages else [],
        takes_secrets=db.keys is not None,
        known=EVENTS,
        name=name,
        role=role,
        events=events,
        refused=refused,
    )
