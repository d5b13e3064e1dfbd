"""`/api/v1/hosts` and `/api/v1/groups`."""

from typing import Annotated

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict

from agent_api.authentication import Db, Person
from agent_api.guarded import GuardedRouter
from agent_api.ids import Paging
from store import hosts
from store.hosts import DecommissionedView, GroupView, HostView, LabelChange, Labels
from store.pages import Page

router = GuardedRouter(prefix="/api/v1", tags=["hosts"])

Host = Annotated[str, Path(max_length=253, description="id or name")]
Label = Annotated[str | None, Query(max_length=63)]


class LabelsOfHost(BaseModel):
    """What to set, by a list, or to change; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    tags: Labels | LabelChange | None = None
    groups: Labels | LabelChange | None = None


@router.get("/hosts", permission="hosts.view")
async def listing(
    db: Db,
    actor: Person,
    window: Paging,
    tag: Label = None,
    group: Label = None,
    online: bool | None = None,
    decommissioned: bool = False,
) -> Page[HostView]:
    """Hosts, newest first."""
    return await hosts.listing(
        db,
        actor,
        tag=tag,
        group=group,
        online=online,
        decommissioned=decommissioned,
        **vars(window),
    )


@router.get("/groups", permission="hosts.view")
async def groups(db: Db, actor: Person) -> Page[GroupView]:
    """Every group that some host is in."""
    return Page[GroupView](items=await hosts.groups(db, actor))


@router.get("/hosts/{host}", permission="hosts.view")
async def show(db: Db, actor: Person, host: Host) -> HostView:
    """One host."""
    return await hosts.show(db, actor, host)


@router.patch("/hosts/{host}", permission="hosts.manage")
async def label(db: Db, actor: Person, host: Host, body: LabelsOfHost) -> HostView:
    """Set tags or groups, or add and remove some: `{"tags": {"add": ["web"], "remove": ["old"]}}`."""
    return await hosts.label(db, actor, host, tags=body.tags, groups=body.groups)


@router.post("/hosts/{host}/allow-reenrolment", permission="hosts.manage")
async def allow_reenrolment(db: Db, actor: Person, host: Host) -> HostView:
    """Let this name enrol again within the next hour."""
    return await hosts.allow_reenrolment(db, actor, host)


@router.delete("/hosts/{host}", permission="hosts.manage")
async def decommission(db: Db, actor: Person, host: Host) -> DecommissionedView:
    """Take it out of service; its unfinished jobs have failed, and the answer names them."""
    return await hosts.decommission(db, actor, host)
