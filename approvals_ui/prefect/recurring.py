"""A recurring job's switch and Run button in Prefect's dashboards, as the signed-in person.

Both are the same use-cases as everywhere, and are refused with the sentence that these say. Prefect is not
asked to switch anything: the keeper brings it along, and the answer waits for that, so that the page shows
what is so. Whatever else the pages would change about a deployment is refused elsewhere.
"""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from starlette.responses import JSONResponse, Response

from approvals_ui.prefect.resume import PATIENCE_SECONDS
from approvals_ui.prefect.upstream import Upstream
from definitions.errors import Conflict, Invalid, OpsgateError
from definitions.permissions import Actor
from store import recurring_jobs
from store.connection import Database
from store.recurring_views import RecurringView

_NOW = timedelta(minutes=1)
"""How far from this moment a run may be asked for that is meant for now: two clocks differ."""
_LOOK_SECONDS, _LOOKS = 0.1, 50
"""How often it is looked whether Prefect has been told."""


def refused(sentence: str) -> Response:
    """The answer whose sentence both of Prefect's user interfaces show."""
    return JSONResponse({"detail": sentence}, 409)


async def switch(db: Database, actor: Actor, view: RecurringView, body: bytes, site: str) -> Response:
    """The switch of its schedule: enable or disable it."""
    try:
        enabled = _wanted(view, _fields(body), site)
        now = await recurring_jobs.switch(db, actor, view.id, enabled=enabled)
    except OpsgateError as refusal:
        return refused(refusal.message)
    if enabled and now.stopped is not None:
        return refused(f"It fires no more. {now.stopped} Change it in Opsgate: {page(site, view)}.")
    await _until_told(db, view.id)
    return Response(status_code=204)


async def run(
    db: Database, actor: Actor, upstream: Upstream, view: RecurringView, body: bytes, site: str
) -> Response:
    """The Run button: a tick by hand. Prefect gets a run that has ended already, to show what came of it."""
    try:
        _as_it_is(view, _fields(body), site)
        tick = await recurring_jobs.run(db, actor, view.id)
    except OpsgateError as refusal:
        return refused(refusal.message)
    state = {"type": "COMPLETED", "name": tick.outcome.capitalize(), "message": f"Tick {tick.id}, by hand."}
    url = httpx2.URL(f"{upstream.api}/deployments/{view.deployment_id}/create_flow_run")
    shown = f"It is tick {tick.id} in Opsgate: {page(site, view)}."
    try:
        answer = await upstream.ask(
            "POST",
            url,
            body=json.dumps({"state": state}).encode(),
            headers={"Content-Type": "application/json"},
            again=False,
            patience=PATIENCE_SECONDS,
        )
    except OpsgateError as away:
        return refused(f"{shown} {away.message}")
    if answer.status != 201:
        return refused(f"{shown} Prefect does not show it.")
    return Response(answer.body, 201, media_type="application/json")


def page(site: str, view: RecurringView) -> str:
    """Where it is changed."""
    return f"{site}/recurring/{view.id}"


def _fields(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Invalid("This is not what Prefect's pages send.")
    return found


def _wanted(view: RecurringView, fields: Mapping[str, Any], site: str) -> bool:
    """Whether it shall be enabled. A change of the schedule comes by the same way, and is none for here."""
    schedule = fields.get("schedule")
    same = schedule is None or (
        isinstance(schedule, dict)
        and (schedule.get("cron"), schedule.get("timezone")) == (view.cron, view.timezone)
    )
    other = fields.keys() - {"active", "schedule", "slug", "parameters"}
    active = fields.get("active")
    if not same or other or fields.get("slug") or fields.get("parameters") or not isinstance(active, bool):
        raise Conflict(f"Its schedule is changed in Opsgate: {page(site, view)}.")
    return active


def _as_it_is(view: RecurringView, fields: Mapping[str, Any], site: str) -> None:
    """Raise `Conflict` unless the run is for now, and of what the recurring job says."""
    given = fields.get("parameters")
    if given and given != {"recurring_job_id": view.id}:
        raise Conflict(f"What it runs is changed in Opsgate: {page(site, view)}.")
    state = fields.get("state")
    details = state.get("state_details") if isinstance(state, dict) else None
    at = details.get("scheduled_time") if isinstance(details, dict) else None
    if at is not None and not _is_now(at):
        raise Conflict("It can be run now, not later: its schedule does that.")


def _is_now(moment: object) -> bool:
    try:
        at = datetime.fromisoformat(moment) if isinstance(moment, str) else None
    except ValueError:
        return False
    return at is not None and at.utcoffset() is not None and at <= datetime.now(UTC) + _NOW


async def _until_told(db: Database, number: int) -> None:
    """Until the keeper has told Prefect, or the person has waited long enough."""
    for _ in range(_LOOKS):
        if await recurring_jobs.is_deployed(db, number):
            return
        await asyncio.sleep(_LOOK_SECONDS)
