"""`/api/v1/instances`: runs of workflows, and a live stream of one."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from agent_api.admission import Admission
from agent_api.authentication import Db, Person
from agent_api.events import Events
from agent_api.guarded import GuardedRouter
from agent_api.ids import Id, Moment, Paging
from definitions.errors import NotAuthenticated, NotPermitted
from definitions.lifecycles.instance import InstanceStatus
from store import instances
from store.instance_cancel import MAX_REASON
from store.instance_lists import InstanceFilter
from store.instance_views import InstanceRow, InstanceView
from store.pages import Page

router = GuardedRouter(prefix="/api/v1/instances", tags=["instances"])

COALESCE_SECONDS = 1.0
"""Changes closer together than this are sent as one."""
LOOK_AGAIN_SECONDS = 15.0
"""A notification may be lost: look by ourselves this often. FastAPI sends a keep-alive as often."""
STREAM_SECONDS = 600.0
"""Then the stream ends and the browser connects again, which checks the person anew."""


class Cancellation(BaseModel):
    """Why somebody cancels."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="", max_length=MAX_REASON)


class Secrets(BaseModel):
    """What is not kept once an instance has ended, and so is given again."""

    model_config = ConfigDict(extra="forbid")

    inputs: dict[str, Any] = Field(
        default_factory=dict, description="The secret inputs it was given, and no others."
    )


class Rerun(Secrets):
    """Which version to run again."""

    same_version: bool = Field(
        default=False, description="The version that the instance ran, not the one published now."
    )


Name = Annotated[str | None, Query(max_length=253)]
Since = Annotated[Moment | None, Query()]


async def wanted(
    status: Annotated[list[InstanceStatus] | None, Query()] = None,
    workflow: Name = None,
    started_by: Name = None,
    host: Name = None,
    since: Since = None,
    until: Since = None,
    search: Annotated[str | None, Query(max_length=500)] = None,
) -> InstanceFilter:
    """The filters of a list of instances."""
    return InstanceFilter(status or (), workflow, started_by, host, since, until, search)


@router.get("", permission="workflows.view")
async def list_instances(
    db: Db, actor: Person, which: Annotated[InstanceFilter, Depends(wanted)], window: Paging
) -> Page[InstanceRow]:
    """Instances, the newest first: `workflow` and `host` by id or name, started `since` and before `until`,
    `search` in the workflow's name, the inputs and the reason."""
    return await instances.listing(db, actor, which, **vars(window))


@router.get("/{instance_id}", permission="workflows.view")
async def show_instance(db: Db, actor: Person, instance_id: Id) -> InstanceView:
    """One instance: steps, results, reasons, jobs, open requests."""
    return await instances.show(db, actor, instance_id)


@router.post("/{instance_id}/cancel", permission="workflows.manage")
async def cancel_instance(
    db: Db, actor: Person, instance_id: Id, body: Cancellation | None = None
) -> InstanceView:
    """Ask for an instance to end: jobs are cancelled, open requests withdrawn."""
    return await instances.cancel(db, actor, instance_id, body.reason if body is not None else "")


@router.post("/{instance_id}/resume", permission="workflows.manage")
async def resume_instance(
    db: Db, actor: Person, instance_id: Id, body: Secrets | None = None
) -> InstanceView:
    """Go on with one that failed or was cancelled, at what failed or where it was stopped: in a new visit,
    every earlier result kept."""
    return await instances.resume(db, actor, instance_id, body.inputs if body is not None else {})


@router.post("/{instance_id}/rerun", permission="workflows.manage", creates=True, status_code=201)
async def rerun_instance(db: Db, actor: Person, instance_id: Id, body: Rerun | None = None) -> InstanceView:
    """Start the published version of the same workflow, or the same version, on the same hosts with the
    same inputs; 422 when that version does not take them any more."""
    body = body or Rerun()
    return await instances.rerun(db, actor, instance_id, body.inputs, same_version=body.same_version)


@router.get("/{instance_id}/events", permission="workflows.view", response_class=EventSourceResponse)
async def instance_events(
    request: Request, db: Db, actor: Person, first: Annotated[InstanceView, Depends(show_instance)]
) -> AsyncIterator[ServerSentEvent]:
    """The instance now and after every change, as `instance` events; ends when the instance has."""
    events: Events = request.app.state.events
    until, admission = time.monotonic() + STREAM_SECONDS, Admission(request, actor)
    sent, sent_at = None, 0.0
    with events.subscribe(_topics(first)) as subscription:
        # Looked at anew once subscribed: what happened since `first` was read is not missed.
        while time.monotonic() < until:
            try:
                view = await instances.show(db, await admission.actor(), first.id)
            except (NotAuthenticated, NotPermitted):
                return  # taken away meanwhile: who comes back learns of it
            if view != sent:
                sent, sent_at = view, time.monotonic()
                subscription.topics = _topics(view)
                yield ServerSentEvent(event="instance", raw_data=view.model_dump_json())
            if view.ended_at is not None:
                return
            await subscription.wait(LOOK_AGAIN_SECONDS)
            await asyncio.sleep(max(0.0, sent_at + COALESCE_SECONDS - time.monotonic()))


def _topics(view: InstanceView) -> frozenset[str]:
    jobs = {f"job:{job.id}" for step in view.steps if step.ended_at is None for job in step.jobs}
    return frozenset({f"instance:{view.id}", *jobs, *(f"approval:{each.id}" for each in view.approvals)})
