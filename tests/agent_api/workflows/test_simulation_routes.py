"""Simulations over REST: what the editor asks while somebody draws, against what exists here."""

from typing import Any

import httpx2

from tests.agent_api.workflows.conftest import Served

SCAN = {"id": "scan", "type": "command", "command": "df", "hosts": ["tag:web"]}
CHECK = {
    "id": "check",
    "type": "script",
    "script": "disk-check",
    "parameters": {"limit": "{{step_scan.stdout}}"},
}
GATE = {"id": "gate", "type": "approval", "approvers": ["role:approver"], "approval_type": "all"}
BODY: dict[str, Any] = {
    "workflow": {"name": "w", "steps": [SCAN, CHECK, GATE]},
    "scenario": {"steps": {"scan": {"stdout": "90\n"}, "gate": {"votes": ["approve"]}}, "hosts": ["web-1"]},
}


async def _prepare(served: Served, operator: httpx2.AsyncClient) -> None:
    await served.db.execute("UPDATE hosts SET tags = '{web}'")
    await served.db.execute("INSERT INTO hosts (name, os, tags) VALUES ('web-2', 'linux', '{web}')")
    parameters = [{"name": "limit", "type": "integer"}]
    script = {"name": "disk-check", "language": "bash", "content": "df", "parameters": parameters}
    assert (await operator.post("/api/v1/scripts", json=script)).status_code == 201


async def test_a_definition_is_walked_against_the_scripts_hosts_and_people_of_this_server(
    served: Served, operator: httpx2.AsyncClient, approver: httpx2.AsyncClient
) -> None:
    await _prepare(served, operator)
    reply = await operator.post("/api/v1/workflows/simulate", json=BODY)
    assert reply.status_code == 200, reply.text
    found = reply.json()
    scan, check, gate = found["path"]
    assert [host["host"] for host in scan["hosts"]] == ["web-1", "web-2"]
    assert check["input"] == {"script": "disk-check", "parameters": {"limit": 90}}
    assert gate["reason"] == "Approved: 1 of 1 said yes; 1 approval was needed. Succeeded; the workflow ends."
    assert (found["status"], found["problems"]) == ("completed", [])


async def test_a_simulation_saves_and_sends_nothing(
    served: Served, operator: httpx2.AsyncClient, approver: httpx2.AsyncClient
) -> None:
    await _prepare(served, operator)
    tables = ("workflows", "instances", "jobs", "approval_requests", "audit", "outbox")
    count = " + ".join(f"(SELECT count(*) FROM {table})" for table in tables)
    before = await served.db.fetchval(f"SELECT {count}")
    assert (await operator.post("/api/v1/workflows/simulate", json=BODY)).status_code == 200
    assert await served.db.fetchval(f"SELECT {count}") == before


async def test_the_draft_of_a_saved_workflow_is_walked_under_its_id_or_name(
    operator: httpx2.AsyncClient, deploy: dict[str, Any], viewer: httpx2.AsyncClient
) -> None:
    for ref in (deploy["id"], "deploy"):
        reply = await viewer.post(f"/api/v1/workflows/{ref}/simulate", json={"steps": {"gate": "failure"}})
        assert reply.json()["status"] == "failed"
    assert reply.json()["inputs"] == {"n": 1}
    missing = await viewer.post("/api/v1/workflows/nothing/simulate", json={})
    assert missing.status_code == 404


async def test_what_does_not_fit_is_answered_with_every_problem(operator: httpx2.AsyncClient) -> None:
    scenario = {"steps": {"skan": "failure", "gate": {"votes": ["maybe"]}}}
    reply = await operator.post("/api/v1/workflows/simulate", json={**BODY, "scenario": scenario})
    assert reply.status_code == 422
    pointers = [problem["pointer"] for problem in reply.json()["problems"]]
    assert pointers == ["/scenario/steps/skan", "/scenario/steps/gate/votes/0"]


async def test_who_may_not_see_hosts_and_scripts_does_not_see_them_here(
    served: Served, operator: httpx2.AsyncClient
) -> None:
    await _prepare(served, operator)
    await served.db.execute("INSERT INTO roles (name, permissions) VALUES ('drawer', '{workflows.view}')")
    drawer = await served.person("dora", "drawer")
    found = (await drawer.post("/api/v1/workflows/simulate", json=BODY)).json()
    assert [host["host"] for host in found["path"][0]["hosts"]] == ["tag:web"]
    assert found["path"][1]["input"]["parameters"] == {"limit": "90"}
    assert found["problems"][-1]["code"] == "not-checked"
