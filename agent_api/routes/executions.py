"""`/api/v1/executions`: what was run together by hand, running it again, and output as files."""

from typing import Annotated

from fastapi import Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict

from agent.protocol import Stream
from agent_api.authentication import Db, Person
from agent_api.guarded import GuardedRouter
from agent_api.ids import Id
from agent_api.routes.scripts import Dispatched, Reason
from store import execution_views, executions, output_downloads
from store.execution_views import ExecutionView
from store.output_downloads import Download

router = GuardedRouter(prefix="/api/v1", tags=["executions"])


class Rerun(BaseModel):
    """Where to run it again."""

    model_config = ConfigDict(extra="forbid")

    failed_only: bool = True
    reason: Reason = ""


@router.get("/executions/{execution_id}", permission="scripts.view")
async def show_execution(db: Db, actor: Person, execution_id: Id) -> ExecutionView:
    """What was run, by whom, and how many of its jobs are in each status."""
    return await execution_views.show(db, actor, execution_id)


@router.post("/executions/{execution_id}/rerun", permission="scripts.manage", creates=True, status_code=201)
async def rerun_execution(db: Db, actor: Person, execution_id: Id, body: Rerun) -> Dispatched:
    """Run the same version with the same parameters again, where it failed or timed out, or everywhere."""
    made = await executions.rerun(db, actor, execution_id, failed_only=body.failed_only, reason=body.reason)
    return Dispatched(jobs=made.jobs, execution=made.id, checkout=made.checkout)


@router.get(
    "/executions/{execution_id}/download", permission="scripts.view", response_class=StreamingResponse
)
async def download_execution(db: Db, actor: Person, execution_id: Id) -> StreamingResponse:
    """Every host's result and output as one file of JSON lines."""
    return _attachment(await output_downloads.of_execution(db, actor, execution_id), "application/jsonl")


@router.get("/jobs/{job_id}/output/download", permission="jobs.view", response_class=StreamingResponse)
async def download_output(
    db: Db,
    actor: Person,
    job_id: Id,
    stream: Stream = "stdout",
    attempt: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> StreamingResponse:
    """One stream of a job as a text file, byte for byte."""
    return _attachment(await output_downloads.of_job(db, actor, job_id, stream, attempt), "text/plain")


def _attachment(download: Download, media_type: str) -> StreamingResponse:
    """To be kept, never shown: what a host printed may be a page or a program."""
    headers = {
        "Content-Type": f"{media_type}; charset=utf-8",
        "Content-Disposition": f'attachment; filename="{download.name}"',
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "no-store",
    }
    return StreamingResponse(download.content, headers=headers)
