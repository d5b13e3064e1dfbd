"""Every operation called once as it should be; what that leaves behind are real ids for everything else."""

import base64
import os
from collections.abc import Iterator
from typing import Any

import pytest

from agent_api import job_events
from agent_api.routes import instances as instance_routes
from definitions.steps import ApprovalStep
from store import approvals, checkouts, workflows
from store.checkouts import Wanted
from tests.live.fresh_database import database_of_its_own
from tests.live.served_api import World
from tests.live.vault import LiveVault

SCRIPT = {"name": "tidy", "language": "bash", "content": "true"}
IDENTITY = {
    "name": "db_admin",
    "vault": "main",
    "source": "database_static",
    "path": "database/tour",
    "username": "tour",
}
LIBRARY = {"name": "greetings", "language": "bash", "content": "hello() { echo hello; }"}
GATE = {"id": "gate", "type": "approval", "title": "Go?", "approvers": ["role:approver"]}
WAIT = {"id": "wait", "type": "delay", "seconds": 5}
NIGHTLY = {
    "name": "nightly",
    "cron": "0 2 * * *",
    "job": {"type": "command", "hosts": ["web-1"], "payload": {"command": "true"}},
}
WORKFLOW = {"name": "deploy", "steps": [GATE, WAIT], "inputs": [{"name": "n", "type": "integer"}]}


@pytest.fixture(scope="module")
def fresh_database(postgres: str, migrated_template: str) -> Iterator[str]:
    """A fresh database for the tests of this module."""
    with database_of_its_own(postgres, migrated_template) as url:
        yield url


@pytest.fixture(scope="module")
def world(fresh_database: str, vault: LiveVault) -> Iterator[World]:
    """The served API after a tour of all of it."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (instance_routes, job_events):  # streams of what goes on for ever end soon
            patch.setattr(module, "STREAM_SECONDS", 0.2)
            patch.setattr(module, "LOOK_AGAIN_SECONDS", 0.1)
        found = World(fresh_database)
        found.start()
        try:
            found.run(vault.static_role("tour"))
            found.vault = {
                "name": "main",
                "address": vault.bao.address,
                "auth": {
                    "method": "approle",
                    "role_id": "opsgate",
                    "secret_id": f"file:{vault.bao.secret_id_file}",
                },
            }
            for part in TOUR:
                part(found)
            yield found
        finally:
            found.stop()


def _probes(world: World) -> None:
    for path in ("/healthz", "/readyz"):
        world.call(f"GET {path}", who="nobody")
    for path in ("me", "audit", "audit/export", "audit/checkpoints"):
        world.call(f"GET /api/v1/{path}")
    world.call("POST /api/v1/audit/verify")


def _people(world: World) -> None:
    eve = world.call("POST /api/v1/users", body={"name": "eve", "password": "correct horse battery"})
    user = {"user": eve["id"]}
    world.call("GET /api/v1/users")
    world.call("GET /api/v1/users/{user}", path=user)
    world.call("PATCH /api/v1/users/{user}", path=user, body={"email": "eve@example.org"})
    world.call("PUT /api/v1/roles/{name}", path={"name": "night-shift"}, body={"permissions": ["jobs.view"]})
    world.call("GET /api/v1/roles")
    world.call("POST /api/v1/sessions", body={"name": "eve", "password": "correct horse battery"})
    world.call("DELETE /api/v1/sessions")
    token = world.call("POST /api/v1/tokens", body={"name": "nightly", "user": "eve"})
    world.call("GET /api/v1/tokens")
    world.real |= {"user": [eve["id"]], "token_id": [token["id"]]}
    spare = world.call("POST /api/v1/tokens", body={"name": "spare"})
    world.call("DELETE /api/v1/tokens/{token_id}", path={"token_id": spare["id"]})


def _notices(world: World) -> None:
    body = {"name": "pager", "url": "json://hooks.example.org/x"}
    channel = {"channel_id": world.call("POST /api/v1/notice-channels", body=body)["id"]}
    world.call("GET /api/v1/notice-channels")
    world.call("POST /api/v1/notice-channels/{channel_id}/test", path=channel)
    world.run(world.db.execute("UPDATE notice_deliveries SET dead_at = now(), last_error = 'no answer'"))
    (given_up,) = world.call("GET /api/v1/notice-deliveries")["items"]
    delivery = {"delivery_id": given_up["id"]}
    world.call("POST /api/v1/notice-deliveries/{delivery_id}/retry", path=delivery)
    spare = world.call("POST /api/v1/notice-channels", body={**body, "name": "spare"})["id"]
    world.call("DELETE /api/v1/notice-channels/{channel_id}", path={"channel_id": spare})
    world.real |= {name: [value] for name, value in {**channel, **delivery}.items()}


def _hosts(world: World) -> None:
    secret = world.call("POST /api/v1/org-secrets", body={"name": "rack 1", "max_uses": 50})
    for name in ("web-1", "web-2", "web-3"):
        key = base64.b64encode(os.urandom(32)).decode()
        body = {"org_secret": secret["secret"], "hostname": name, "os": "linux", "public_key": key}
        joined = world.call("POST /agent/v1/enrol", who="nobody", body={**body, "version": "0.1.0"})
        world.tokens[name] = joined["token"]
    world.call("GET /api/v1/org-secrets")
    world.call("DELETE /api/v1/org-secrets/{secret_id}", path={"secret_id": secret["id"]})
    world.call("PATCH /api/v1/hosts/{host}", path={"host": "web-1"}, body={"tags": ["web"], "groups": ["eu"]})
    for operation in ("GET /api/v1/hosts", "GET /api/v1/groups"):
        world.call(operation)
    world.call("GET /api/v1/hosts/{host}", path={"host": "web-1"})
    world.call("POST /api/v1/hosts/{host}/allow-reenrolment", path={"host": "web-2"})
    world.call("DELETE /api/v1/hosts/{host}", path={"host": "web-3"})
    world.real |= {"host": ["web-1", "web-2"], "secret_id": [secret["id"]]}


def _versioned(world: World, kind: str, document: dict[str, Any], **change: Any) -> None:
    """What versioned definitions have in common."""
    prefix, ref = f"/api/v1/{kind}", {"ref": document["name"]}
    world.call(f"POST {prefix}", body=document)
    world.call(f"GET {prefix}")
    world.call(f"PUT {prefix}/{{ref}}", path=ref, body={**document, **change})
    world.call(f"GET {prefix}/{{ref}}", path=ref)
    world.call(f"GET {prefix}/{{ref}}/versions", path=ref)
    world.call(f"GET {prefix}/{{ref}}/versions/{{old}}/diff/{{new}}", path={**ref, "old": 1, "new": 2})
    world.call(f"POST {prefix}/{{ref}}/rollback", path=ref, body={"version": 1})
    spare = {**document, "name": "spare"}
    for _ in ("created", "the same"):
        world.call(f"PUT {prefix}/by-name/{{name}}", path={"name": "spare"}, body=spare)
    world.call(f"DELETE {prefix}/{{ref}}", path={"ref": "spare"})


def _scripts(world: World) -> None:
    _versioned(world, "scripts", SCRIPT, content="true # two")
    ref = {"ref": "tidy"}
    made = world.call("POST /api/v1/scripts/{ref}/execute", path=ref, body={"hosts": ["web-1"]})
    execution = {"execution_id": made["execution"]}
    world.call("GET /api/v1/scripts/{ref}/executions", path=ref)
    world.call("GET /api/v1/executions/{execution_id}", path=execution)
    again = {"failed_only": False}
    world.call("POST /api/v1/executions/{execution_id}/rerun", path=execution, body=again)
    world.call("GET /api/v1/executions/{execution_id}/download", path=execution)
    world.real |= {"execution_id": [made["execution"]], "old": [1, 2], "new": [1, 2]}


def _libraries(world: World) -> None:
    _versioned(world, "libraries", LIBRARY, content="true # two")


def _credentials(world: World) -> None:
    _versioned(world, "vaults", world.vault, namespace="team")
    world.call("POST /api/v1/vaults/{ref}/test", path={"ref": "main"})
    _versioned(world, "identities", IDENTITY, exclusive=True)
    world.call("POST /api/v1/identities/{ref}/rotate", path={"ref": "db_admin"})


def _jobs(world: World) -> None:
    body = {"type": "command", "hosts": ["web-2"], "payload": {"command": "true"}}
    (job,) = world.call("POST /api/v1/jobs", body=body)["jobs"]
    world.call("GET /api/v1/jobs")
    about, poll = {"job_id": job}, {"boot_id": "b", "request_id": "r", "wait_seconds": 0}
    another = base64.b64encode(os.urandom(32)).decode()
    assert not world.call("POST /agent/v1/key", who="web-2", body={"public_key": another})["accepted"]
    (given,) = world.call("POST /agent/v1/poll", who="web-2", body=poll)["jobs"]
    assert given["job_id"] == job
    attempt = {**about, "attempt": 1}
    report = "POST /agent/v1/jobs/{job_id}/{attempt}/state"
    world.call(report, who="web-2", path=attempt, body={"state": "started", "boot_id": "b"})
    world.call(
        "PUT /agent/v1/jobs/{job_id}/{attempt}/output",
        who="web-2",
        path=attempt,
        query={"stream": "stdout", "seq": 0, "offset": 0},
        body=b"\xff\n",
        media_type="application/octet-stream",
    )
    ended = {"state": "completed", "outcome": "exited", "exit_code": 1}
    world.call(report, who="web-2", path=attempt, body=ended)
    for rest in ("", "/output", "/output/download", "/events"):
        world.call(f"GET /api/v1/jobs/{{job_id}}{rest}", path=about)
    for verb in ("retry", "cancel"):
        world.call(f"POST /api/v1/jobs/{{job_id}}/{verb}", path=about)
    world.call("DELETE /api/v1/jobs/{job_id}", path=about)
    others = [world.call("POST /api/v1/jobs", body=body)["jobs"][0] for _ in range(3)]
    world.real |= {"job_id": others, "attempt": [1]}


def _workflows(world: World) -> None:
    ref, name = {"ref": "deploy"}, {"name": "deploy"}
    made = world.call("POST /api/v1/workflows", body=WORKFLOW)
    world.call("POST /api/v1/workflows/validate", body=WORKFLOW)
    for publish in (False, True):
        world.call(
            "PUT /api/v1/workflows/by-name/{name}", path=name, body=WORKFLOW, query={"publish": publish}
        )
    seen = {"If-Match": f'"{made["revision"]}"'}
    world.call("PUT /api/v1/workflows/{ref}", path=ref, body=WORKFLOW, headers=seen)
    world.call("POST /api/v1/workflows/{ref}/publish", path=ref)
    for rest in ("", "/{ref}", "/{ref}/versions"):
        world.call(f"GET /api/v1/workflows{rest}", path=ref if rest else None)
    world.call("GET /api/v1/workflows/{ref}/versions/{version}", path={**ref, "version": 1})
    scenario = {"inputs": {"n": 1}, "hosts": ["web-1"]}
    world.call("POST /api/v1/workflows/simulate", body={"workflow": WORKFLOW, "scenario": scenario})
    world.call("POST /api/v1/workflows/{ref}/simulate", path=ref, body=scenario)
    again = world.call("GET /api/v1/workflows/{ref}", path=ref)
    seen = {"If-Match": f'"{again["revision"]}"'}
    shorter = {**WORKFLOW, "description": "Another."}
    world.call("PUT /api/v1/workflows/{ref}", path=ref, body=shorter, headers=seen)
    world.call("POST /api/v1/workflows/{ref}/publish", path=ref)
    versions = {**ref, "old": 1, "new": 2}
    world.call("GET /api/v1/workflows/{ref}/versions/{old}/diff/{new}", path=versions)
    world.call("POST /api/v1/workflows/{ref}/rollback", path=ref, body={"version": 1})
    world.call("POST /api/v1/workflows", body={**WORKFLOW, "name": "spare"})
    world.call("DELETE /api/v1/workflows/{ref}", path={"ref": "spare"})
    world.real |= {"ref": ["deploy", "tidy", "greetings"], "name": ["deploy", "tidy", "greetings"]}


def _instances(world: World) -> None:
    body = {"hosts": ["web-1"], "inputs": {"n": 1}}
    first, second = (
        world.call("POST /api/v1/workflows/{ref}/start", path={"ref": "deploy"}, body=body)["id"]
        for _ in range(2)
    )
    world.call("GET /api/v1/instances")
    about = {"instance_id": first}
    world.call("GET /api/v1/instances/{instance_id}", path=about)
    world.call("POST /api/v1/instances/{instance_id}/cancel", path=about, body={"reason": "tried"})
    world.call("GET /api/v1/instances/{instance_id}/events", path=about)
    world.call("POST /api/v1/instances/{instance_id}/rerun", path=about)
    world.run(_stop(world, first))
    world.call("POST /api/v1/instances/{instance_id}/resume", path=about)
    requests = [world.run(_open_gate(world, second)), world.run(_open_gate(world, second, visit=2))]
    world.call("GET /api/v1/approvals")
    request = {"request_id": requests[0]}
    shown = world.call("GET /api/v1/approvals/{request_id}", path=request)
    vote = {"decision": "approve", "digest": shown["digest"]}
    world.call("POST /api/v1/approvals/{request_id}/vote", who="approver", path=request, body=vote)
    world.real |= {"instance_id": [first, second], "request_id": requests}
    _checkouts(world, second)


def _checkouts(world: World, instance: int) -> None:
    async def ask() -> int:
        """As the engine does when it reaches such a step."""
        async with world.db.transaction() as tx:
            return (await checkouts.request(tx, Wanted(instance, "out", 1, "db_admin"))).id

    about = {"checkout_id": world.run(ask())}
    world.call("GET /api/v1/checkouts")
    world.call("GET /api/v1/checkouts/{checkout_id}", path=about)
    world.call("POST /api/v1/checkouts/{checkout_id}/checkin", path=about)
    world.real |= {"checkout_id": [about["checkout_id"]]}


async def _stop(world: World, instance: int) -> None:
    """As the engine does with one that is to be cancelled, at its first step."""
    await world.db.execute(
        """WITH ended AS (UPDATE instances SET status = 'cancelled', started_at = now(), ended_at = now()
                          WHERE id = $1 RETURNING id)
           INSERT INTO step_results (instance_id, step_id, visit, kind, name, input, status, ended_at)
           SELECT id, 'gate', 1, 'approval', 'Go?', '{}', 'cancelled', now() FROM ended""",
        instance,
    )


async def _open_gate(world: World, instance: int, visit: int = 1) -> int:
    """As the engine does when it reaches the gate."""
    async with world.db.transaction() as tx:
        row = await tx.fetchrow("SELECT workflow_id, started_by FROM instances WHERE id = $1", instance)
        step = (await workflows.load_version(tx, row["workflow_id"], 1)).step("gate")
        assert isinstance(step, ApprovalStep)
        await tx.execute("UPDATE instances SET status = 'running' WHERE id = $1", instance)
        about = {"instance_id": instance, "step_id": "gate", "visit": visit, "step": step}
        texts = {"title": "Go?", "description": "", "started_by": row["started_by"]}
        return await approvals.open_request(tx, **about, **texts)


def _recurring_jobs(world: World) -> None:
    prefix, ref = "/api/v1/recurring-jobs", {"ref": "nightly"}
    world.call(f"POST {prefix}", body=NIGHTLY)
    world.call(f"GET {prefix}")
    for change in ("0 3 * * *", "0 3 * * *"):
        body = {**NIGHTLY, "cron": change}
        world.call(f"PUT {prefix}/by-name/{{name}}", path={"name": "nightly"}, body=body)
    world.call(f"PUT {prefix}/{{ref}}", path=ref, body=NIGHTLY)
    for verb in ("disable", "enable", "run"):
        world.call(f"POST {prefix}/{{ref}}/{verb}", path=ref)
    for rest in ("", "/ticks", "/children", "/preview"):
        world.call(f"GET {prefix}/{{ref}}{rest}", path=ref)
    world.call(f"POST {prefix}", body={**NIGHTLY, "name": "spare nights"})
    world.call(f"DELETE {prefix}/{{ref}}", path={"ref": "spare nights"})
    world.real["ref"].append("nightly")
    world.real["name"].append("nightly")


TOUR = (
    _probes,
    _people,
    _notices,
    _hosts,
    _scripts,
    _libraries,
    _credentials,
    _jobs,
    _workflows,
    _instances,
    _recurring_jobs,
)
