"""`/api/v1/jobs`: dispatch, look at, follow, cancel, retry, delete jobs."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from agent.protocol import Stream
from agent_api.admission import Admission
from agent_api.authentication import Db, Person
from agent_api.guarded import GuardedRouter
from agent_api.ids import Id, Moment, Paging, SomeId
from agent_api.job_events import STREAMS, Cursor, follow
from definitions.job_types import PRIORITY_NAMES
from definitions.lifecycles.job import JobStatus
from store import job_output, jobs
from store.job_lists import JobFilter
from store.job_output import OutputView
from store.job_views import JobRow, JobView
from store.pages import Page

router = GuardedRouter(prefix="/api/v1/jobs", tags=["jobs"])


class NewJobs(BaseModel):
    """One job a host."""

    model_config = ConfigDict(extra="forbid")

    type: str
    hosts: Annotated[list[int | str], Field(max_length=10_000)]
    payload: dict[str, Any]
    priority: Literal["critical", "high", "normal", "low"] | None = None
    scheduled_at: Moment | None = None
    secrets: dict[str, Any] = Field(default_factory=dict)
    """By name, sealed for each host; a password reset takes `password`."""


class JobIds(BaseModel):
    """The jobs that were made."""

    jobs: list[int]


@router.post("", permission="jobs.manage", creates=True, status_code=201)
async def dispatch(db: Db, actor: Person, body: NewJobs) -> JobIds:
    """Make one job a host."""
    priority = None if body.priority is None else PRIORITY_NAMES.index(body.priority)
    made = await jobs.dispatch(
        db, actor, body.type, body.hosts, body.payload, priority, body.scheduled_at, body.secrets
    )
    return JobIds(jobs=made)


Name = Annotated[str | None, Query(max_length=253)]
Since = Annotated[Moment | None, Query()]


async def wanted(
    status: Annotated[list[JobStatus] | None, Query()] = None,
    host: Name = None,
    type: Annotated[str | None, Query(max_length=100)] = None,
    script: Name = None,
    instance: SomeId = None,
    created_by: Name = None,
    since: Since = None,
    until: Since = None,
) -> JobFilter:
    """The filters of a list of jobs."""
    return JobFilter(status or (), host, type, script, instance, created_by, since, until)


@router.get("", permission="jobs.view")
async def listing(
    db: Db, actor: Person, which: Annotated[JobFilter, Depends(wanted)], window: Paging
) -> Page[JobRow]:
    """Jobs, newest first: `script` and `host` by id or name, made `since` and before `until`."""
    return await jobs.listing(db, actor, which, **vars(window))


@router.get("/{job_id}", permission="jobs.view")
async def show(db: Db, actor: Person, job_id: Id) -> JobView:
    """One job with its payload and its attempts."""
    return await jobs.show(db, actor, job_id)


@router.get("/{job_id}/output", permission="jobs.view")
async def output(
    db: Db,
    actor: Person,
    job_id: Id,
    stream: Stream = "stdout",
    after: Annotated[int, Query(ge=-1, le=2**31 - 1)] = -1,
    attempt: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> OutputView:
    """What it printed; ask again with `after` = `next` until `done`. As it comes it is at `events`."""
    return await job_output.read(db, actor, job_id, stream, after, attempt)


async def last_seen(last_event_id: Annotated[str | None, Header(max_length=40)] = None) -> Cursor | None:
    """Where a reader of events left off."""
    return None if last_event_id is None else Cursor.read(last_event_id)


@router.get("/{job_id}/events", permission="jobs.view", response_class=EventSourceResponse)
async def events(
    request: Request,
    db: Db,
    actor: Person,
    first: Annotated[JobView, Depends(show)],
    cursor: Annotated[Cursor | None, Depends(last_seen)],
    stream: Stream | None = None,
) -> AsyncIterator[ServerSentEvent]:
    """`job` now and at each change, `output` as it is printed, `end` when it has ended and all was sent.

    The data of `output` is a part of the output with its `attempt`, `stream` and `seq`, that of the others
    the job as in a list. Goes on after `Last-Event-ID`. A stream that ends without `end` is to be asked
    for again.
    """
    streams = STREAMS if stream is None else (stream,)
    told = follow(db, Admission(request, actor), request.app.state.events, first.id, streams, cursor)
    async with aclosing(told):
        async for event in told:
            yield event


@router.post("/{job_id}/cancel", permission="jobs.manage")
async def cancel(db: Db, actor: Person, job_id: Id) -> JobView:
    """Stop it: at once if it has not started, otherwise by telling the agent."""
    return await jobs.cancel(db, actor, job_id)


@router.post("/{job_id}/retry", permission="jobs.manage")
async def retry(db: Db, actor: Person, job_id: Id) -> JobView:
    """Run it once more, as its next attempt."""
    return await jobs.retry(db, actor, job_id)


@router.delete("/{job_id}", permission="jobs.manage", status_code=204)
async def delete(db: Db, actor: Person, job_id: Id) -> None:
    """Remove the record of a job that has ended."""
    await jobs.delete(db, actor, job_id)
