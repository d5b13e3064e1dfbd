"""Who gets through which door: every route of jobs, hosts, people, secrets and the audit trail."""

import pytest

from agent_api import guarded

BODIES = {
    "POST /api/v1/jobs": {"type": "command", "hosts": ["web-1"], "payload": {"command": "true"}},
    "POST /api/v1/users": {"name": "new"},
    "POST /api/v1/tokens": {"name": "new"},
    "POST /api/v1/org-secrets": {"name": "new"},
    "PUT /api/v1/roles/7": {"permissions": []},
    "POST /agent/v1/poll": {"boot_id": "b", "request_id": "r", "wait_seconds": 0},
    "POST /agent/v1/key": {"public_key": "A" * 43 + "="},
    "POST /agent/v1/jobs/7/7/state": {"state": "started", "boot_id": "b"},
}


def doors(app):
    """Every guarded route as (method, path with the id of nothing filled in, guard)."""
    for method, path, guard in guarded.routes(app):
        if guard is not None and guard.public is None:
            filled = path
            while "{" in filled:
                filled = filled[: filled.index("{")] + "7" + filled[filled.index("}") + 1 :]
            yield method, filled, guard


async def knock(client, method, path, headers):
    body = BODIES.get(f"{method} {path}", {} if method in ("POST", "PATCH", "PUT") else None)
    return (await client.request(method, path, json=body, headers=headers)).status_code


async def test_nobody_gets_in_without_a_token(app, anyone):
    for method, path, _ in doors(app):
        assert await knock(anyone, method, path, {}) == 401, (method, path)


async def test_a_made_up_token_opens_nothing(app, anyone, people):
    for method, path, _ in doors(app):
        for token in ("ogt_x", "oga_x", "ogw_x"):
            assert await knock(anyone, method, path, {"Authorization": f"Bearer {token}"}) == 401, (
                method,
                path,
            )


async def test_a_person_without_roles_passes_no_door_that_takes_a_permission(app, anyone, people):
    for method, path, guard in doors(app):
        if guard.permission is not None:
            assert await knock(anyone, method, path, people["sam"]) == 403, (method, path)


async def test_a_viewer_passes_exactly_the_doors_of_viewing(app, anyone, people):
    seen = {"jobs.view", "scripts.view", "workflows.view", "hosts.view"}
    for method, path, guard in doors(app):
        if guard.permission is not None:
            refused = await knock(anyone, method, path, people["vera"]) == 403
            assert refused == (guard.permission not in seen), (method, path)


async def test_an_administrator_is_refused_at_no_door_of_people(app, anyone, people):
    for method, path, guard in doors(app):
        if not guard.agent and "sessions" not in path:
            assert await knock(anyone, method, path, people["ann"]) not in (401, 403), (method, path)


async def test_an_agents_token_is_no_persons_and_the_other_way_round(app, anyone, people, enrolled):
    web1 = await enrolled(anyone)
    for method, path, guard in doors(app):
        headers = people["ann"] if guard.agent else {"Authorization": f"Bearer {web1.token}"}
        assert await knock(anyone, method, path, headers) == 401, (method, path)


async def test_an_agent_reaches_no_job_of_another_host(anyone, people, enrolled, dispatch):
    web1, web2 = await enrolled(anyone), await enrolled(anyone, "web-2")
    job_id = await dispatch(anyone)
    await web1.poll()
    await web1.start(job_id)
    assert (await web2.output(job_id, b"x")).status_code == 404
    assert (await web2.complete(job_id)).status_code == 409
    assert (await web2.start(job_id)).status_code == 409


async def test_a_query_parameter_is_no_token(anyone, people):
    token = people["ann"]["Authorization"].split()[1]
    assert (await anyone.get(f"/api/v1/me?token={token}&access_token={token}")).status_code == 401


def test_a_route_without_a_guard_cannot_be_written():
    router = guarded.GuardedRouter()
    for declared in (
        {},
        {"permission": "jobs.view", "public": "both"},
        {"public": ""},
        {"permission": "jobs.dance"},
        {"agent": False},
    ):
        with pytest.raises(TypeError):

            @router.get("/x", **declared)
            def endpoint() -> None: ...

    assert router.routes == []


def test_the_back_ways_of_registering_a_route_are_shut():
    router = guarded.GuardedRouter()

    def endpoint() -> None: ...

    with pytest.raises(TypeError):
        router.add_api_route("/x", endpoint)
    with pytest.raises(TypeError):
        router.api_route("/x")(endpoint)


def test_one_endpoint_has_one_guard():
    router = guarded.GuardedRouter()

    def endpoint() -> None: ...

    router.get("/x", public="a reason")(endpoint)
    with pytest.raises(TypeError, match="another guard"):
        router.get("/y", permission="jobs.view")(endpoint)
