"""`/recurring`: recurring jobs, when they fire, what came of it, and the form that makes or changes one."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query, Request
from starlette.responses import RedirectResponse, Response

from agent_api.authentication import Db, Person
from agent_api.ids import Id
from agent_api.problem_responses import status_of
from approvals_ui import recurring_form
from approvals_ui.forms import form, text
from approvals_ui.rendering import page
from approvals_ui.visitor import pages_router
from definitions.errors import OpsgateError
from definitions.permissions import Actor, may
from store import recurring_jobs, recurring_views
from store.connection import Database

router = pages_router()
TICKS_SHOWN = 50
Text = Annotated[str, Query(max_length=200)]


@router.get("/recurring", permission="jobs.view")
async def show_all(request: Request, db: Db, actor: Person, after: str | None = None) -> Response:
    """The list."""
    found = await recurring_jobs.listing(db, actor, after=after or None)
    return page(request, "recurring.html", found=found, may_manage=may(actor, "jobs.manage") is None)


@router.get("/recurring/new", permission="jobs.manage")
async def ask(request: Request, actor: Person) -> Response:
    """The empty form."""
    return _form(request, recurring_form.EMPTY)


@router.get("/recurring/preview", permission="jobs.view")
async def preview(request: Request, actor: Person, cron: Text = "", timezone: Text = "") -> Response:
    """The next runs of what stands in the form: a part of the page."""
    return page(request, "_recurring_preview.html", **_preview(cron, timezone))


@router.post("/recurring", permission="jobs.manage")
async def create(request: Request, db: Db, actor: Person) -> Response:
    """Save a new one; a refusal comes back with its reasons and what was filled in."""
    return await _save(request, db, actor, None)


@router.get("/recurring/{number}", permission="jobs.view")
async def show(request: Request, db: Db, actor: Person, number: Id, after: str | None = None) -> Response:
    """One, with its ticks."""
    return await _page(request, db, actor, number, after=after or None)


@router.get("/recurring/{number}/edit", permission="jobs.manage")
async def edit(request: Request, db: Db, actor: Person, number: Id) -> Response:
    """The form as it was saved."""
    view = await recurring_jobs.show(db, actor, number)
    return _form(request, recurring_form.filled(view.definition), number)


@router.post("/recurring/{number}", permission="jobs.manage")
async def change(request: Request, db: Db, actor: Person, number: Id) -> Response:
    """Save a change."""
    return await _save(request, db, actor, number)


@router.post("/recurring/{number}/do", permission="jobs.manage")
async def do(request: Request, db: Db, actor: Person, number: Id) -> Response:
    """Enable, disable, run by hand or archive."""
    deed = text(await form(request), "deed")
    try:
        if deed == "run":
            await recurring_jobs.run(db, actor, number)
        elif deed == "archive":
            await recurring_jobs.archive(db, actor, number)
        else:
            await recurring_jobs.switch(db, actor, number, enabled=deed == "enable")
    except OpsgateError as refused:
        return await _page(request, db, actor, number, refused=refused)
    return RedirectResponse("/recurring" if deed == "archive" else f"/recurring/{number}", 303)


async def _page(
    request: Request,
    db: Database,
    actor: Actor,
    number: int,
    *,
    after: str | None = None,
    refused: OpsgateError | None = None,
) -> Response:
    return page(
        request,
        "recurring_job.html",
        status_of(refused) if refused else 200,
        job=await recurring_jobs.show(db, actor, number),
        found=await recurring_jobs.ledger(db, actor, number, limit=TICKS_SHOWN, after=after),
        may_manage=may(actor, "jobs.manage") is None,
        refused=refused,
    )


async def _save(request: Request, db: Database, actor: Actor, number: int | None) -> Response:
    fields = await form(request)
    try:
        saved = await recurring_jobs.save(db, actor, recurring_form.document(fields), number)
    except OpsgateError as refused:
        return _form(request, {name: text(fields, name) for name in fields}, number, refused)
    return RedirectResponse(f"/recurring/{saved.id}", 303)


def _form(
    request: Request,
    filled: Mapping[str, str],
    number: int | None = None,
    refused: OpsgateError | None = None,
) -> Response:
    return page(
        request,
        "recurring_form.html",
        status_of(refused) if refused else 200,
        filled=filled,
        number=number,
        kinds=recurring_form.KINDS,
        details=recurring_form.DETAILS,
        priorities=recurring_form.PRIORITIES,
        refused=refused,
        **_preview(filled.get("cron", ""), filled.get("timezone", "")),
    )


def _preview(cron: str, timezone: str) -> dict[str, object]:
    """When it fires next, or why that can't be said."""
    try:
        found = recurring_views.preview(cron, timezone, recurring_views.SHOWN_RUNS, datetime.now(UTC))
    except OpsgateError as wrong:
        return {"preview": None, "wrong": wrong}
    return {"preview": found, "wrong": None}
