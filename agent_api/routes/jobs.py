"""`/api/v1/jobs`: dispatch, look at, cancel, retry, delete jobs."""

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from agent.protocol import Stream
from agent_api.authentication import Db, Person
from agent_api.guarded import GuardedRouter
from agent_api.ids import After, Id, Limit
from definitions.job_types import PRIORITY_NAMES
from definitions.lifecycles.job import JobStatus
from store import job_output, jobs
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
    scheduled_at: AwareDatetime | None = None


class JobIds(BaseModel):
    """The jobs that were made."""

    jobs: list[int]


@router.post("", permission="jobs.manage", creates=True, status_code=201)
async def dispatch(db: Db, actor: Person, body: NewJobs) -> JobIds:
    """Make one job a host."""
    priority = None if body.priority is None else PRIORITY_NAMES.index(body.priority)
    made = await jobs.dispatch(db, actor, body.type, body.hosts, body.payload, priority, body.scheduled_at)
    return JobIds(jobs=made)


@router.get("", permission="jobs.view")
async def listing(
    db: Db,
    actor: Person,
    status: Annotated[list[JobStatus] | None, Query()] = None,
    host: Annotated[str | None, Query(max_length=253)] = None,
    type: Annotated[str | None, Query(max_length=100)] = None,
    instance: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    script: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    limit: Limit = 50,
    after: After = None,
) -> Page[JobRow]:
    """Jobs, newest first."""
    return await jobs.listing(
        db,
        actor,
        status=[str(each) for each in status or ()],
        host=host,
        type=type,
        instance_id=instance,
        script_id=script,
        limit=limit,
        after=after,
    )


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
    """What it printed; ask again with `after` = `next` until `done`."""
    return await job_output.read(db, actor, job_id, stream, after, attempt)


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
