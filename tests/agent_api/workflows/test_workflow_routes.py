"""Workflows and scripts over REST: drafts, problems, publishing, starting."""

import asyncio
import json
from typing import Any

import httpx2

WAIT = {"id": "wait", "type": "delay", "seconds": 5}
SCRIPT = {"kind": "script", "name": "disk-check", "language": "bash", "content": "df -h"}


async def test_a_draft_is_saved_only_over_the_revision_that_was_seen(operator: httpx2.AsyncClient) -> None:
    made = await operator.post("/api/v1/workflows", json={"name": "w", "steps": [WAIT]})
    assert (made.status_code, made.headers["etag"]) == (201, '"1"')
    body = {"name": "w", "steps": [WAIT], "description": "new"}
    without = await operator.put("/api/v1/workflows/w", json=body)
    assert (without.status_code, without.headers["content-type"]) == (428, "application/problem+json")
    seen = {"If-Match": made.headers["etag"]}
    saved = await operator.put("/api/v1/workflows/w", json=body, headers=seen)
    assert (saved.status_code, saved.headers["etag"]) == (200, '"2"')
    stale = await operator.put("/api/v1/workflows/w", json={**body, "description": "other"}, headers=seen)
    assert stale.status_code == 409
    assert "revision 2" in stale.json()["detail"]
    assert '-  "description": "new"\n+  "description": "other"' in stale.json()["diff"]["settings"].replace(
        ",", ""
    )


async def test_versions_are_compared_and_taken_back(operator: httpx2.AsyncClient) -> None:
    path = "/api/v1/workflows/by-name/w?publish=true"
    for seconds in (5, 60):
        await operator.put(path, json={"name": "w", "steps": [{**WAIT, "seconds": seconds}]})
    found = (await operator.get("/api/v1/workflows/w/versions/1/diff/2")).json()
    assert '+    "seconds": 60' in found["content"]
    back = await operator.post("/api/v1/workflows/w/rollback", json={"version": 1})
    assert (back.status_code, back.json()["published_version"], back.headers["etag"]) == (200, 3, '"3"')
    versions = (await operator.get("/api/v1/workflows/w/versions")).json()["items"]
    assert [(each["version"], each["published_by_name"]) for each in versions] == [
        (3, "ana"),
        (2, "ana"),
        (1, "ana"),
    ]


async def test_publishing_a_draft_with_errors_answers_with_every_problem(
    operator: httpx2.AsyncClient,
) -> None:
    await operator.post("/api/v1/workflows", json={"name": "w", "steps": [{"id": "a", "type": "delay"}]})
    refused = await operator.post("/api/v1/workflows/w/publish")
    assert refused.status_code == 422
    problems = refused.json()["problems"]
    assert problems
    assert set(problems[0]) == {"pointer", "code", "message", "fix", "severity"}
    checked = await operator.post(
        "/api/v1/workflows/validate", json={"name": "w", "steps": [{"id": "a", "type": "delay"}]}
    )
    assert checked.json() == {"valid": False, "problems": problems}


async def test_apply_says_whether_it_changed_anything(operator: httpx2.AsyncClient) -> None:
    for path, body in (
        ("/api/v1/scripts/by-name/disk-check", SCRIPT),
        ("/api/v1/workflows/by-name/w?publish=true", {"kind": "workflow", "name": "w", "steps": [WAIT]}),
    ):
        statuses = [(await operator.put(path, json=body)).status_code for _ in range(2)]
        assert statuses == [201, 200], path
        other = await operator.put(path, json={**body, "name": "other"})
        assert other.status_code == 422


async def test_a_reference_is_an_id_or_a_name(operator: httpx2.AsyncClient) -> None:
    made = (await operator.post("/api/v1/scripts", json=SCRIPT)).json()
    by_id = await operator.get(f"/api/v1/scripts/{made['id']}")
    by_name = await operator.get("/api/v1/scripts/disk-check")
    assert by_id.json() == by_name.json() == made


async def test_an_invalid_script_answers_with_its_problems(operator: httpx2.AsyncClient) -> None:
    refused = await operator.post(
        "/api/v1/scripts", json={**SCRIPT, "language": "cobol", "timeout_seconds": 0}
    )
    assert refused.status_code == 422
    assert {problem["pointer"] for problem in refused.json()["problems"]} == {"/language", "/timeout_seconds"}


async def test_running_a_script_answers_with_its_jobs(operator: httpx2.AsyncClient) -> None:
    await operator.post("/api/v1/scripts", json=SCRIPT)
    reply = await operator.post("/api/v1/scripts/disk-check/execute", json={"hosts": ["web-1"]})
    assert reply.status_code == 201
    listed = (await operator.get("/api/v1/scripts/disk-check/executions")).json()["items"]
    assert [job["id"] for job in listed] == reply.json()["jobs"]


async def test_a_start_repeated_with_its_key_starts_once(operator: httpx2.AsyncClient, deploy: Any) -> None:
    headers, body = {"Idempotency-Key": "k-1"}, {"hosts": ["web-1"], "inputs": {"n": 2}}
    first = await operator.post("/api/v1/workflows/deploy/start", json=body, headers=headers)
    again = await operator.post("/api/v1/workflows/deploy/start", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    other = await operator.post(
        "/api/v1/workflows/deploy/start", json={**body, "inputs": {"n": 3}}, headers=headers
    )
    assert other.status_code in (409, 422)
    assert len((await operator.get("/api/v1/instances")).json()["items"]) == 1


async def test_starts_at_once_with_one_key_start_once(operator: httpx2.AsyncClient, deploy: Any) -> None:
    headers, body = {"Idempotency-Key": "k-1"}, {"hosts": ["web-1"]}
    replies = await asyncio.gather(
        *(operator.post("/api/v1/workflows/deploy/start", json=body, headers=headers) for _ in range(4))
    )
    assert {reply.status_code for reply in replies} <= {201, 409}
    assert len((await operator.get("/api/v1/instances")).json()["items"]) == 1


async def test_an_empty_target_set_is_refused(operator: httpx2.AsyncClient, deploy: Any) -> None:
    steps = [WAIT, {"id": "c", "type": "command", "command": "true"}]
    await operator.put("/api/v1/workflows/by-name/w?publish=true", json={"name": "w", "steps": steps})
    for body in ({"hosts": []}, {}):
        refused = await operator.post("/api/v1/workflows/w/start", json=body)
        assert refused.status_code == 422
        assert refused.json()["problems"][0]["code"] == "empty-target-set"


async def test_a_workflow_whose_steps_run_on_no_host_of_the_instance_starts_on_none(
    operator: httpx2.AsyncClient, deploy: Any
) -> None:
    started = await operator.post("/api/v1/workflows/deploy/start", json={})
    assert (started.status_code, started.json()["hosts"]) == (201, [])
    refused = await operator.post("/api/v1/workflows/deploy/start", json={"hosts": ["nobody"]})
    assert refused.json()["problems"][0]["code"] == "unknown-host"


async def test_an_empty_electorate_is_refused(served: Any, operator: httpx2.AsyncClient, deploy: Any) -> None:
    await served.db.execute("UPDATE users SET disabled_at = now() WHERE name = 'bo'")
    refused = await operator.post("/api/v1/workflows/deploy/start", json={"hosts": ["web-1"]})
    assert refused.status_code == 409
    assert "Nobody could decide" in refused.json()["detail"]


NONSENSE: list[tuple[str, str, Any]] = [
    ("GET", "/api/v1/instances/99999999999999999999", None),
    ("GET", "/api/v1/approvals/0", None),
    ("GET", "/api/v1/scripts/99999999999999999999", None),
    ("GET", "/api/v1/scripts/a%00b", None),
    ("GET", "/api/v1/scripts/disk-check/versions/1/diff/99999999999", None),
    ("GET", "/api/v1/instances?status=nonsense", None),
    ("GET", "/api/v1/instances?after=x", None),
    ("GET", "/api/v1/workflows?limit=0", None),
    ("POST", "/api/v1/workflows/deploy/start", {"hosts": ["a\x00b"]}),
    ("POST", "/api/v1/workflows/deploy/start", {"hosts": [10**30]}),
    ("POST", "/api/v1/workflows/deploy/start", {"hosts": ["\ud800"]}),
    ("POST", "/api/v1/workflows/deploy/start", {"hosts": ["web-1"], "inputs": {"n": "\ud800"}}),
    ("POST", "/api/v1/workflows/deploy/start", {"hosts": ["web-1"], "inputs": {"n": 10**400}}),
    ("POST", "/api/v1/workflows/deploy/start", {"hosts": ["web-1"], "inputs": {"\x00": 1}}),
    ("POST", "/api/v1/workflows", {"name": "\ud800", "steps": []}),
    ("POST", "/api/v1/workflows", {"name": "w", "steps": [{"id": "\x00"}]}),
    ("POST", "/api/v1/scripts", {**SCRIPT, "content": "a\x00b"}),
    ("POST", "/api/v1/scripts", {**SCRIPT, "name": "a\ud800"}),
    ("POST", "/api/v1/instances/1/cancel", {"reason": "\ud800"}),
    ("POST", "/api/v1/approvals/1/vote", {"decision": "approve", "comment": "\ud800", "digest": ""}),
]


async def test_what_makes_no_sense_is_refused_in_words(operator: httpx2.AsyncClient, deploy: Any) -> None:
    for method, path, body in NONSENSE:
        content = None if body is None else json.dumps(body).encode()
        reply = await operator.request(
            method, path, content=content, headers={"Content-Type": "application/json"}
        )
        assert reply.status_code in (404, 409, 422), (path, body, reply.status_code, reply.text)
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json()["detail"]
