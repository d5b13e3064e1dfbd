"""`/instances`: every run of a workflow, the newest first, found by what a person remembers of it."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from agent_api.authentication import Db, Person
from approvals_ui.rendering import page
from approvals_ui.visitor import pages_router
from definitions.lifecycles.instance import InstanceStatus
from store import instances
from store.instance_lists import InstanceFilter

router = pages_router()
STATUSES = tuple(status.value for status in InstanceStatus)
FIELDS = ("status", "workflow", "host", "started_by", "since", "until", "search")
Text = Annotated[str, Query(max_length=253)]


@router.get("/instances", permission="workflows.view")
async def show(
    request: Request,
    db: Db,
    actor: Person,
    status: Text = "",
    workflow: Text = "",
    host: Text = "",
    started_by: Text = "",
    since: Text = "",
    until: Text = "",
    search: Text = "",
    after: str | None = None,
) -> Response:
    """The list, of what was asked for; a day that is none is left out. Days are in UTC."""
    begins, ends = _day(since), _day(until)
    wanted = InstanceFilter(
        status=(status,) if status in STATUSES else (),
        workflow=workflow or None,
        started_by=started_by or None,
        host=host or None,
        since=begins,
        until=None if ends is None else ends + timedelta(days=1),
        search=search or None,
    )
    found = await instances.listing(db, actor, wanted, after=after or None)
    asked = {name: value for name in FIELDS if (value := request.query_params.get(name, ""))}
    return page(request, "instances.html", found=found, statuses=STATUSES, asked=asked)


def _day(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
