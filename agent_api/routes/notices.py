"""`/api/v1/notice-channels`, `/api/v1/notice-deliveries`: who is told where, and what came of it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from agent_api.authentication import Db, Person
from agent_api.guarded import GuardedRouter
from agent_api.ids import Id, Paging
from definitions.notice_urls import MAX_LENGTH
from store import notice_channels, notice_deliveries
from store.notice_channels import MAX_NAME, ChannelView
from store.notice_deliveries import DeliveryView, State
from store.pages import Page

router = GuardedRouter(prefix="/api/v1", tags=["notices"])

OWN = "one's own; those of roles and other people take users.manage"


class ChannelRequest(BaseModel):
    """A channel to set up; one's own unless `role` says whose."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=MAX_NAME)]
    url: Annotated[str, Field(max_length=MAX_LENGTH)]
    """An Apprise URL. It is kept sealed and not shown again."""
    role: str | None = None
    events: list[str] | None = None


@router.post("/notice-channels", signed_in=OWN, creates=True, status_code=201)
async def add(db: Db, actor: Person, body: ChannelRequest) -> ChannelView:
    """Set up a channel."""
    return await notice_channels.add(db, actor, body.name, body.url, role=body.role, events=body.events)


@router.get("/notice-channels", signed_in=OWN)
async def listing(db: Db, actor: Person, window: Paging, every: bool = False) -> Page[ChannelView]:
    """Channels, newest first, without their addresses."""
    return await notice_channels.listing(db, actor, every=every, **vars(window))


@router.delete("/notice-channels/{channel_id}", signed_in=OWN, status_code=204)
async def remove(db: Db, actor: Person, channel_id: Id) -> None:
    """Forget a channel."""
    await notice_channels.remove(db, actor, channel_id)


@router.post("/notice-channels/{channel_id}/test", signed_in=OWN, status_code=202)
async def try_out(db: Db, actor: Person, channel_id: Id) -> None:
    """Send a notice that says nothing; what came of it stands among the deliveries."""
    await notice_channels.try_out(db, actor, channel_id)


@router.get("/notice-deliveries", signed_in=OWN)
async def deliveries(db: Db, actor: Person, window: Paging, state: State | None = None) -> Page[DeliveryView]:
    """What was sent, what waits, and what was given up, newest first."""
    return await notice_deliveries.listing(db, actor, state=state, **vars(window))


@router.post("/notice-deliveries/{delivery_id}/retry", signed_in=OWN, status_code=202)
async def retry(db: Db, actor: Person, delivery_id: Id) -> None:
    """Try one that was given up again."""
    await notice_deliveries.retry(db, actor, delivery_id)
