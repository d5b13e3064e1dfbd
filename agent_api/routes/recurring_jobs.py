"""`/api/v1/recurring-jobs`: templates, when they fire, their ticks and what these made.

What a template dispatches may take more than `jobs.manage`: the use-cases ask for it.
"""

from typing import Annotated, Any

from fastapi import Body, Query, Response

from agent_api.authentication import Db, Person
from agent_api.guarded import GuardedRouter
from agent_api.ids import Paging
from definitions.errors import Invalid
from store import recurring_jobs
from store.instance_views import InstanceRow
from store.job_views import JobRow
from store.pages import Page
from store.recurring_views import MOST_RUNS, SHOWN_RUNS, Preview, RecurringRow, RecurringView, TickView

router = GuardedRouter(prefix="/api/v1/recurring-jobs", tags=["recurring jobs"])

Document = Annotated[dict[str, Any], Body(description="A recurring job as in a definition file.")]
Count = Annotated[int, Query(ge=1, le=MOST_RUNS)]


@router.get("", permission="jobs.view")
async def list_recurring_jobs(
    db: Db, actor: Person, window: Paging, archived: bool = False
) -> Page[RecurringRow]:
    """The newest first."""
    return await recurring_jobs.listing(db, actor, archived=archived, **vars(window))


@router.post("", permission="jobs.manage", creates=True, status_code=201)
async def create_recurring_job(db: Db, actor: Person, document: Document) -> RecurringView:
    """Save a new one; its ticks have the rights of who saved it last."""
    return await recurring_jobs.save(db, actor, document)


@router.put(
    "/by-name/{name}",
    permission="jobs.manage",
    responses={201: {"model": RecurringView, "description": "Created or changed"}},
)
async def put_recurring_job(
    db: Db, actor: Person, name: str, document: Document, response: Response
) -> RecurringView:
    """Make the one of this name be this. 201: created or changed it; 200: it was so already."""
    if document.get("name", name) != name:
        raise Invalid(f"The recurring job is named {document['name']!r} and the address says {name!r}.")
    view, changed = await recurring_jobs.put(db, actor, {**document, "name": name})
    response.status_code = 201 if changed else 200
    return view


@router.get("/{ref}", permission="jobs.view")
async def show_recurring_job(db: Db, actor: Person, ref: str) -> RecurringView:
    """One, by id or name."""
    return await recurring_jobs.show(db, actor, ref)


@router.put("/{ref}", permission="jobs.manage")
async def save_recurring_job(db: Db, actor: Person, ref: str, document: Document) -> RecurringView:
    """Change it."""
    return await recurring_jobs.save(db, actor, document, ref)


@router.delete("/{ref}", permission="jobs.manage", status_code=204)
async def archive_recurring_job(db: Db, actor: Person, ref: str) -> None:
    """Archive it: it fires no more; its ticks and children stay."""
    await recurring_jobs.archive(db, actor, ref)


@router.post("/{ref}/enable", permission="jobs.manage")
async def enable_recurring_job(db: Db, actor: Person, ref: str) -> RecurringView:
    """Have it fire from its next tick on."""
    return await recurring_jobs.switch(db, actor, ref, enabled=True)


@router.post("/{ref}/disable", permission="jobs.manage")
async def disable_recurring_job(db: Db, actor: Person, ref: str) -> RecurringView:
    """Have it fire no more, until it is enabled. Ticks in between are not made up for."""
    return await recurring_jobs.switch(db, actor, ref, enabled=False)


@router.post("/{ref}/run", permission="jobs.manage", creates=True, status_code=201)
async def run_recurring_job(db: Db, actor: Person, ref: str) -> TickView:
    """A tick by hand, now; it counts against no limit."""
    return await recurring_jobs.run(db, actor, ref)


@router.get("/{ref}/ticks", permission="jobs.view")
async def list_ticks(db: Db, actor: Person, ref: str, window: Paging) -> Page[TickView]:
    """Every tick with its outcome and the reason, the last answered first."""
    return await recurring_jobs.ledger(db, actor, ref, **vars(window))


@router.get("/{ref}/children", permission="jobs.view")
async def list_children(db: Db, actor: Person, ref: str, window: Paging) -> Page[JobRow] | Page[InstanceRow]:
    """What its ticks made, jobs or instances, the newest first."""
    return await recurring_jobs.children(db, actor, ref, **vars(window))


@router.get("/{ref}/preview", permission="jobs.view")
async def preview_recurring_job(db: Db, actor: Person, ref: str, count: Count = SHOWN_RUNS) -> Preview:
    """Its next runs, in its time zone."""
    return await recurring_jobs.preview(db, actor, ref, count)
