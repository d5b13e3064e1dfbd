"""`/prefect`: who may look, and where each request goes. The rules are in `allowed`, `form` and `resume`."""

import json
from urllib.parse import quote
from uuid import UUID

import httpx2
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from agent_api import authentication
from agent_api.authentication import Db, Person
from agent_api.guarded import GuardedRouter
from approvals_ui.prefect import allowed, form, pages, places, recurring, resume
from approvals_ui.prefect.upstream import Upstream
from approvals_ui.security_headers import from_here
from approvals_ui.settings import PagesSettings
from definitions.errors import Invalid, NotAuthenticated, NotFound, NotPermitted
from definitions.permissions import Actor, may
from store import approval_runs, recurring_jobs
from store.connection import Database
from store.recurring_views import RecurringView

MAX_ASKED_BYTES = 64 * 1024
_WITHHELD = frozenset({"job_variables", "infra_overrides", "base_job_template", "pull_steps", "payload"})
"""Fields of Prefect's answers that hold the environment of runs, and so what others may keep secret there.
The payload of an event repeats what was changed, and in a deployment that is such a field."""
_MAY_HOLD_THEM = frozenset({"automations", "deployments", "events", "flow_runs", "work_pools"})


async def person(request: Request) -> Actor:
    """The person whose session it is. Prefect's pages have no token of ours to send: what is not a plain
    look must come from them by the browser's own word."""
    found = await authentication.session(request)
    if found is None:
        raise NotAuthenticated("You are not signed in to Opsgate any more: load this page again.")
    if request.method not in authentication.SAFE_METHODS and not from_here(request.headers):
        raise NotPermitted("The request did not come from a page of this site.")
    return found.actor


router = GuardedRouter(person=person, include_in_schema=False, default_response_class=None)


@router.get(places.BASE, permission="workflows.view")
async def enter() -> Response:
    """Where the pages expect to be."""
    return RedirectResponse(places.home(), 307)


@router.get(f"{places.API}/{{path:path}}", permission="workflows.view")
async def look(request: Request, db: Db, actor: Person, path: str) -> Response:
    """A read: ours, Prefect's, or none."""
    upstream = _upstream(request)
    if (shape := allowed.FORM.fullmatch(path)) is not None:
        made = await _form(request, db, actor, UUID(shape["id"]), shape["form"])
        if made is not None:
            return Response(made, media_type="text/plain")
    if (said := allowed.own_answer("GET", path)) is not None:
        return Response(said, media_type="application/json")
    if not allowed.may_read("GET", path):
        raise NotFound("This part of Prefect is not shown here.")
    return await _from_prefect(upstream, request, path, None)


@router.post(f"{places.API}/{{path:path}}", permission="workflows.view")
async def ask(request: Request, db: Db, actor: Person, path: str) -> Response:
    """A read that has a body, a resume, or a recurring job's Run button."""
    upstream = _upstream(request)
    if (run := allowed.RESUME.fullmatch(path)) is not None:
        return await resume.vote(db, actor, upstream, UUID(run["id"]), await _body(request))
    if allowed.RUN_NOW.fullmatch(path) and (job := await _recurring(db, actor, path)) is not None:
        return await recurring.run(db, actor, upstream, job, await _body(request), _site(request))
    if (said := allowed.own_answer("POST", path)) is not None:
        return Response(said, media_type="application/json")
    if not allowed.may_read("POST", path):
        return await _refused(request, db, actor, path)
    return await _from_prefect(upstream, request, path, await _body(request))


@router.put(f"{places.API}/{{path:path}}", permission="workflows.view")
async def put(request: Request, db: Db, actor: Person, path: str) -> Response:
    """Never."""
    return await _refused(request, db, actor, path)


@router.patch(f"{places.API}/{{path:path}}", permission="workflows.view")
async def patch(request: Request, db: Db, actor: Person, path: str) -> Response:
    """A recurring job's switch; else never."""
    if allowed.SCHEDULE.fullmatch(path) and (job := await _recurring(db, actor, path)) is not None:
        return await recurring.switch(db, actor, job, await _body(request), _site(request))
    return await _refused(request, db, actor, path)


@router.delete(f"{places.API}/{{path:path}}", permission="workflows.view")
async def delete(request: Request, db: Db, actor: Person, path: str) -> Response:
    """Never."""
    return await _refused(request, db, actor, path)


@router.get(f"{places.BASE}/{{path:path}}", permission="workflows.view")
async def show(request: Request, path: str) -> Response:
    """A page of the dashboards, or a file of theirs."""
    return await pages.answer(_upstream(request), request, path)


def _upstream(request: Request) -> Upstream:
    found: Upstream | None = request.app.state.prefect
    if found is None:
        raise NotFound("Prefect's dashboards are not set up here: OPSGATE_PREFECT_API_URL is not set.")
    return found


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_ASKED_BYTES:
            raise Invalid(f"A question to Prefect has at most {MAX_ASKED_BYTES // 1024} KiB.")
    return body


async def _form(request: Request, db: Database, actor: Actor, run: UUID, key: str) -> bytes | None:
    """Our own form for a run with an open gate; None: the run's own, which asks nothing."""
    asked = await approval_runs.of_flow_run(db, actor, run)
    if asked is None or not asked.pending:
        return None
    if key.endswith("-schema"):
        return form.schema(asked.pending)
    return form.description(asked.pending, _site(request))


async def _recurring(db: Database, actor: Actor, path: str) -> RecurringView | None:
    """The recurring job whose deployment this is about, for who may see it."""
    found = allowed.ONE_DEPLOYMENT.fullmatch(path)
    if found is None or may(actor, "jobs.view") is not None:
        return None
    return await recurring_jobs.of_deployment(db, actor, UUID(found["id"]))


async def _from_prefect(upstream: Upstream, request: Request, path: str, body: bytes | None) -> Response:
    url = httpx2.URL(f"{upstream.api}/{quote(path)}", query=request.url.query.encode())
    headers = {} if body is None else {"Content-Type": "application/json"}
    answer = await upstream.ask(request.method, url, body=body, headers=headers)
    said = answer.body
    if path.split("/")[0] in _MAY_HOLD_THEM and answer.headers.get("content-type") == "application/json":
        said = _without_environments(said)
    given = {name: value for name, value in answer.headers.items() if name.startswith("content-")}
    return Response(said, answer.status, given)


def _without_environments(body: bytes) -> bytes:
    def blank(fields: dict[str, object]) -> dict[str, object]:
        return {name: type(value)() if name in _WITHHELD else value for name, value in fields.items()}

    return json.dumps(json.loads(body, object_hook=blank)).encode()


async def _refused(request: Request, db: Database, actor: Actor, path: str) -> Response:
    """409 with where to do it: both of Prefect's user interfaces show the sentence."""
    site, instance = _site(request), None
    if (run := allowed.ONE_RUN.fullmatch(path)) is not None:
        asked = await approval_runs.of_flow_run(db, actor, UUID(run["id"]))
        instance = asked.instance_id if asked is not None else None
    where = allowed.elsewhere(request.method, path)
    job = await _recurring(db, actor, path)
    if job is not None:
        where = allowed.Elsewhere.RECURRING
    sentence = where.format(
        home=site,
        recurring="" if job is None else recurring.page(site, job),
        workflows=f"{site}/workflows",
        instance=f"{site}/instances" + ("" if instance is None else f"/{instance}"),
    )
    return recurring.refused(sentence)


def _site(request: Request) -> str:
    settings: PagesSettings = request.app.state.settings
    return settings.public_url.rstrip("/")
