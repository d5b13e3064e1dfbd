"""Instances and approvals over REST, and the live stream of an instance."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from agent_api import admission
from agent_api.routes import instances as instance_routes
from definitions.steps import ApprovalStep
from store import approvals, workflows
from store.wakes import wake_instance


async def start(operator: httpx2.AsyncClient) -> dict[str, Any]:
    reply = await operator.post("/api/v1/workflows/deploy/start", json={"hosts": ["web-1"]})
    assert reply.status_code == 201, reply.text
    view: dict[str, Any] = reply.json()
    return view


async def open_gate(served: Any, instance: dict[str, Any]) -> int:
    """As the engine does when it reaches the gate."""
    async with served.db.transaction() as tx:
        workflow = await workflows.load_version(tx, instance["workflow_id"], 1)
        step = workflow.step("gate")
        assert isinstance(step, ApprovalStep)
        await tx.execute("UPDATE instances SET status = 'running' WHERE id = $1", instance["id"])
        request = await approvals.open_request(
            tx,
            instance_id=instance["id"],
            step_id="gate",
            visit=1,
            step=step,
            title="Deploy?",
            description="",
            started_by=await tx.fetchval("SELECT started_by FROM instances WHERE id = $1", instance["id"]),
        )
        await wake_instance(tx, instance["id"])
    return request


@asynccontextmanager
async def stream(client: httpx2.AsyncClient, instance: int) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """The events of an instance, parsed."""
    async with client.stream("GET", f"/api/v1/instances/{instance}/events") as reply:
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/event-stream")

        async def events() -> AsyncIterator[dict[str, Any]]:
            async for line in reply.aiter_lines():
                if line.startswith("data: "):
                    yield json.loads(line[6:])

        yield events()


async def test_a_person_approves_what_they_were_shown(
    served: Any, operator: httpx2.AsyncClient, approver: httpx2.AsyncClient, deploy: Any
) -> None:
    request = await open_gate(served, await start(operator))
    inbox = (await approver.get("/api/v1/approvals", params={"mine": "true"})).json()["items"]
    assert [row["id"] for row in inbox] == [request]
    shown = (await approver.get(f"/api/v1/approvals/{request}")).json()
    assert (shown["may_decide"], shown["frozen"]["hosts"], shown["started_by_name"]) == (
        True,
        ["web-1"],
        "ana",
    )
    vote = {"decision": "approve", "comment": "go", "digest": shown["digest"]}
    path = f"/api/v1/approvals/{request}/vote"
    stale = await approver.post(path, json={**vote, "digest": "0" * 64})
    assert stale.status_code == 409
    answers = [await approver.post(path, json=vote) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["status"] == "approved"
    flipped = await approver.post(path, json={**vote, "decision": "reject"})
    assert flipped.status_code == 409


async def test_who_started_it_is_refused(served: Any, operator: httpx2.AsyncClient, deploy: Any) -> None:
    request = await open_gate(served, await start(operator))
    shown = (await operator.get(f"/api/v1/approvals/{request}")).json()
    vote = {"decision": "approve", "digest": shown["digest"]}
    refused = await operator.post(f"/api/v1/approvals/{request}/vote", json=vote)
    assert refused.status_code == 403
    assert refused.json()["detail"] == shown["why_not"]


async def test_a_decision_is_never_a_get(
    served: Any, operator: httpx2.AsyncClient, approver: Any, deploy: Any
) -> None:
    request = await open_gate(served, await start(operator))
    followed = await approver.get(f"/api/v1/approvals/{request}/vote", params={"decision": "approve"})
    assert followed.status_code == 405
    assert (await approver.get(f"/api/v1/approvals/{request}")).json()["status"] == "pending"


async def test_a_cancelled_instance_says_by_whom(operator: httpx2.AsyncClient, deploy: Any) -> None:
    instance = (await start(operator))["id"]
    reply = await operator.post(f"/api/v1/instances/{instance}/cancel", json={"reason": "wrong host"})
    assert (reply.status_code, reply.json()["status"]) == (200, "cancelled")
    assert reply.json()["reason"] == "Cancelled by ana: wrong host"
    again = await operator.post(f"/api/v1/instances/{instance}/cancel")
    assert again.status_code == 409


async def test_an_instance_runs_again(operator: httpx2.AsyncClient, deploy: Any) -> None:
    instance = (await start(operator))["id"]
    again = await operator.post(f"/api/v1/instances/{instance}/rerun")
    assert (again.status_code, again.json()["hosts"][0]["name"]) == (201, "web-1")
    listed = (
        await operator.get("/api/v1/instances", params={"workflow": "deploy", "status": "queued"})
    ).json()
    assert [row["id"] for row in listed["items"]] == [again.json()["id"], instance]


async def test_a_cancelled_instance_goes_on(operator: httpx2.AsyncClient, deploy: Any) -> None:
    instance = (await start(operator))["id"]
    assert (await operator.post(f"/api/v1/instances/{instance}/resume")).status_code == 409
    await operator.post(f"/api/v1/instances/{instance}/cancel")
    reply = await operator.post(f"/api/v1/instances/{instance}/resume", json={"inputs": {"n": 2}})
    assert (reply.status_code, reply.json()["problems"][0]["code"]) == (422, "not-given-again")
    reply = await operator.post(f"/api/v1/instances/{instance}/resume")
    assert (reply.status_code, reply.json()["status"]) == (200, "running")
    assert [trace["by"] for trace in reply.json()["resumes"]] == ["ana"]


async def test_instances_are_found_by_every_filter(operator: httpx2.AsyncClient, deploy: Any) -> None:
    instance = await start(operator)
    fits = {
        "status": "queued",
        "workflow": "deploy",
        "host": "web-1",
        "started_by": "ana",
        "since": instance["created_at"],
        "until": "2100-01-01T00:00:00Z",
        "search": "DEPLOY",
    }
    found = await operator.get("/api/v1/instances", params=fits)
    assert [row["id"] for row in found.json()["items"]] == [instance["id"]]
    for name, other in {"host": "web-2", "started_by": "bo", "until": "2001-01-01T00:00:00Z"}.items():
        assert (await operator.get("/api/v1/instances", params={**fits, name: other})).json()["items"] == []


async def test_the_stream_tells_of_every_change_and_ends_with_the_instance(
    served: Any, operator: httpx2.AsyncClient, approver: httpx2.AsyncClient, deploy: Any
) -> None:
    instance = await start(operator)
    async with stream(approver, instance["id"]) as events:
        first = await anext(events)
        assert (first["id"], first["status"], first["approvals"]) == (instance["id"], "queued", [])
        request = await open_gate(served, instance)
        gated = await asyncio.wait_for(anext(events), 5)
        assert [each["id"] for each in gated["approvals"]] == [request]
        assert gated["approvals"][0]["may_decide"] is True
        await operator.post(f"/api/v1/instances/{instance['id']}/cancel")
        await asyncio.wait_for(anext(events), 5)
        await served.db.execute("UPDATE instances SET status = 'cancelled', ended_at = now()")
        async with served.db.transaction() as tx:
            await wake_instance(tx, instance["id"])
        rest = [event async for event in events]
    assert rest[-1]["status"] == "cancelled"
    assert rest[-1]["waits_for"] is None


async def test_many_changes_at_once_are_few_events(
    served: Any, operator: httpx2.AsyncClient, viewer: httpx2.AsyncClient, deploy: Any
) -> None:
    instance = await start(operator)
    async with stream(viewer, instance["id"]) as events:
        await anext(events)
        for number in range(50):
            async with served.db.transaction() as tx:
                await tx.execute("UPDATE instances SET reason = $1", f"change {number}")
                await wake_instance(tx, instance["id"])
        seen = [await asyncio.wait_for(anext(events), 5)]
        while seen[-1]["reason"] != "change 49":
            seen.append(await asyncio.wait_for(anext(events), 5))
    assert len(seen) < 10


async def test_a_lost_notification_costs_time_and_no_change(
    served: Any, operator: httpx2.AsyncClient, deploy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance_routes, "LOOK_AGAIN_SECONDS", 0.2)
    instance = await start(operator)
    async with stream(operator, instance["id"]) as events:
        await anext(events)
        await served.db.execute("UPDATE instances SET reason = 'changed in silence'")
        assert (await asyncio.wait_for(anext(events), 5))["reason"] == "changed in silence"


async def test_who_may_not_see_it_any_more_is_told_no_more(
    served: Any, operator: httpx2.AsyncClient, viewer: httpx2.AsyncClient, deploy: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(admission, "AGAIN_SECONDS", 0)
    instance = await start(operator)
    async with stream(viewer, instance["id"]) as events:
        await anext(events)
        await served.db.execute(
            "DELETE FROM user_roles USING roles r WHERE r.id = role_id AND r.name = 'viewer'"
        )
        async with served.db.transaction() as tx:
            await tx.execute("UPDATE instances SET reason = 'not for them'")
            await wake_instance(tx, instance["id"])
        async with asyncio.timeout(10):
            assert [event async for event in events] == []


async def test_open_streams_hold_no_connection(
    served: Any, operator: httpx2.AsyncClient, deploy: Any
) -> None:
    instance = await start(operator)
    opened = []
    for _ in range(12):  # more than the pool has
        manager = stream(operator, instance["id"])
        events = await manager.__aenter__()
        await anext(events)
        opened.append((manager, events))
    reply = await operator.get(f"/api/v1/instances/{instance['id']}")
    assert reply.status_code == 200
    for manager, events in opened:
        await events.aclose()  # type: ignore[attr-defined]
        await manager.__aexit__(None, None, None)


async def test_the_stream_of_an_unknown_instance_is_not_found(operator: httpx2.AsyncClient) -> None:
    reply = await operator.get("/api/v1/instances/999/events")
    assert (reply.status_code, reply.headers["content-type"]) == (404, "application/problem+json")


async def test_the_stream_of_an_ended_instance_is_one_event(
    operator: httpx2.AsyncClient, deploy: Any
) -> None:
    instance = (await start(operator))["id"]
    await operator.post(f"/api/v1/instances/{instance}/cancel")
    async with stream(operator, instance) as events:
        assert [event["status"] async for event in events] == ["cancelled"]
