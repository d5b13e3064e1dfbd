"""Who may call which route: scripts to approvals, every route, for every role."""

from typing import Any

import httpx2
import pytest

from agent_api.guarded import guard_of
from agent_api.routes import approvals, executions, instances, libraries, scripts, workflows

MATRIX = {
    "GET /api/v1/scripts": "scripts.view",
    "POST /api/v1/scripts": "scripts.manage",
    "PUT /api/v1/scripts/by-name/{name}": "scripts.manage",
    "GET /api/v1/scripts/{ref}": "scripts.view",
    "PUT /api/v1/scripts/{ref}": "scripts.manage",
    "DELETE /api/v1/scripts/{ref}": "scripts.manage",
    "GET /api/v1/scripts/{ref}/versions": "scripts.view",
    "GET /api/v1/scripts/{ref}/versions/{old}/diff/{new}": "scripts.view",
    "POST /api/v1/scripts/{ref}/rollback": "scripts.manage",
    "POST /api/v1/scripts/{ref}/execute": "scripts.manage",
    "GET /api/v1/scripts/{ref}/executions": "scripts.view",
    "GET /api/v1/libraries": "scripts.view",
    "POST /api/v1/libraries": "scripts.manage",
    "PUT /api/v1/libraries/by-name/{name}": "scripts.manage",
    "GET /api/v1/libraries/{ref}": "scripts.view",
    "PUT /api/v1/libraries/{ref}": "scripts.manage",
    "DELETE /api/v1/libraries/{ref}": "scripts.manage",
    "GET /api/v1/libraries/{ref}/versions": "scripts.view",
    "GET /api/v1/libraries/{ref}/versions/{old}/diff/{new}": "scripts.view",
    "POST /api/v1/libraries/{ref}/rollback": "scripts.manage",
    "GET /api/v1/executions/{execution_id}": "scripts.view",
    "POST /api/v1/executions/{execution_id}/rerun": "scripts.manage",
    "GET /api/v1/executions/{execution_id}/download": "scripts.view",
    "GET /api/v1/jobs/{job_id}/output/download": "jobs.view",
    "GET /api/v1/workflows": "workflows.view",
    "POST /api/v1/workflows": "workflows.manage",
    "POST /api/v1/workflows/validate": "workflows.view",
    "POST /api/v1/workflows/simulate": "workflows.view",
    "POST /api/v1/workflows/{ref}/simulate": "workflows.view",
    "PUT /api/v1/workflows/by-name/{name}": "workflows.manage",
    "GET /api/v1/workflows/{ref}": "workflows.view",
    "PUT /api/v1/workflows/{ref}": "workflows.manage",
    "DELETE /api/v1/workflows/{ref}": "workflows.manage",
    "GET /api/v1/workflows/{ref}/versions": "workflows.view",
    "GET /api/v1/workflows/{ref}/versions/{version}": "workflows.view",
    "GET /api/v1/workflows/{ref}/versions/{old}/diff/{new}": "workflows.view",
    "POST /api/v1/workflows/{ref}/rollback": "workflows.manage",
    "POST /api/v1/workflows/{ref}/publish": "workflows.manage",
    "POST /api/v1/workflows/{ref}/start": "workflows.manage",
    "GET /api/v1/instances": "workflows.view",
    "GET /api/v1/instances/{instance_id}": "workflows.view",
    "POST /api/v1/instances/{instance_id}/cancel": "workflows.manage",
    "POST /api/v1/instances/{instance_id}/resume": "workflows.manage",
    "POST /api/v1/instances/{instance_id}/rerun": "workflows.manage",
    "GET /api/v1/instances/{instance_id}/events": "workflows.view",
    "GET /api/v1/approvals": "workflows.view",
    "GET /api/v1/approvals/{request_id}": "workflows.view",
    "POST /api/v1/approvals/{request_id}/vote": "workflows.manage",
}
ROLES = {
    "operator": {"jobs.view", "scripts.view", "scripts.manage", "workflows.view", "workflows.manage"},
    "approver": {"jobs.view", "scripts.view", "workflows.view", "workflows.manage"},
    "viewer": {"jobs.view", "scripts.view", "workflows.view"},
}


def test_the_matrix_names_every_route() -> None:
    declared: dict[str, Any] = {}
    for module in (scripts, libraries, executions, workflows, instances, approvals):
        for route in module.router.routes:
            guard = guard_of(getattr(route, "endpoint", None))
            assert guard is not None
            for method in route.methods:  # type: ignore[attr-defined]
                declared[f"{method} {route.path}"] = guard.permission  # type: ignore[attr-defined]
    assert declared == MATRIX


async def call(client: httpx2.AsyncClient, route: str) -> int:
    method, path = route.split()
    for name in ("ref", "name", "instance_id", "request_id", "execution_id", "job_id", "old", "new"):
        path = path.replace(f"{{{name}}}", "9999")
    return (await client.request(method, path)).status_code


async def test_without_a_token_nothing_answers(served: Any) -> None:
    nobody, stranger = served.client(), served.client({"Authorization": "Bearer ogt_made-up"})
    for route in MATRIX:
        assert (await call(nobody, route), await call(stranger, route)) == (401, 401), route


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_reaches_exactly_what_its_permissions_open(served: Any, role: str) -> None:
    client = await served.person("someone", role)
    for route, permission in MATRIX.items():
        status = await call(client, route)
        assert status < 500, route
        assert (status == 403) == (permission not in ROLES[role]), (route, status)


async def test_somebody_disabled_reaches_nothing(served: Any, operator: httpx2.AsyncClient) -> None:
    await served.db.execute("UPDATE users SET disabled_at = now() WHERE name = 'ana'")
    assert {await call(operator, route) for route in MATRIX} == {401}
