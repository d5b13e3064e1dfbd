"""Probes, metrics, and the API's own description."""

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agent_api.authentication import Db
from agent_api.description import describe
from agent_api.guarded import GuardedRouter
from definitions.errors import Unavailable
from store import pulse

router = GuardedRouter(tags=["health"])


@router.get("/healthz", public="says only that the process answers")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", public="says only whether the database is there")
async def readyz(db: Db) -> dict[str, str]:
    """The process can do its work."""
    if not await pulse.ready(db):
        raise Unavailable("The database has no schema yet; run `opsgate migrate`.")
    return {"status": "ready"}


@router.get("/metrics", public="counts without names", include_in_schema=False)
async def metrics(db: Db) -> Response:
    """Counts in Prometheus' text format."""
    now = await pulse.pulse(db)
    registry = CollectorRegistry()
    for name, text, by_status in (
        ("opsgate_jobs", "Unfinished jobs", now.jobs),
        ("opsgate_instances", "Unfinished instances", now.instances),
    ):
        gauge = Gauge(name, text, ["status"], registry=registry)
        for status, count in by_status.items():
            gauge.labels(status).set(count)
    for name, text, value in (
        ("opsgate_approvals_pending", "Approval requests that are not decided", now.approvals_pending),
        ("opsgate_hosts_online", "Hosts whose agent was heard in the last minute", now.hosts_online),
        ("opsgate_hosts_offline", "Hosts whose agent was not", now.hosts_offline),
        ("opsgate_oldest_queued_seconds", "How long the oldest due job waits", now.oldest_queued_seconds),
        ("opsgate_outbox_due", "Errands to the engine not carried out", now.outbox_due),
        ("opsgate_notices_dead", "Notices that were given up", now.notices_dead),
    ):
        Gauge(name, text, registry=registry).set(value)
    return Response(generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/api/openapi.json", public="describes the API, holds no data", include_in_schema=False)
async def openapi(request: Request) -> JSONResponse:
    """The API in OpenAPI's words."""
    return JSONResponse(describe(request.app))
