"""A small organisation on a fresh database: people with roles, two hosts, one published workflow."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from definitions.permissions import SYSTEM, Actor
from definitions.script import Script
from definitions.steps import ApprovalStep
from store import approvals, instances, scripts, users, workflows
from store.approvals import ApprovalDetail
from store.connection import Database
from store.instance_views import InstanceView


@dataclass(frozen=True)
class Org:
    """Who and what there is."""

    db: Database
    ana: Actor  # an operator: starts things
    bo: Actor  # approvers
    cy: Actor
    di: Actor
    vi: Actor  # a viewer
    hosts: tuple[int, int]

    async def publish(self, steps: list[dict[str, Any]], name: str = "deploy", **more: Any) -> int:
        document = {"name": name, "steps": steps, **more}
        return (await workflows.put(self.db, self.ana, document, publish=True))[0].id

    async def publish_unproved(self, steps: list[dict[str, Any]], **more: Any) -> None:
        """As it stands after what the proof looked at has changed."""
        document = {"name": "deploy", "steps": steps, **more}
        view = await workflows.save_draft(self.db, self.ana, document)
        await self.db.execute(
            "INSERT INTO workflow_versions (workflow_id, version, definition) VALUES ($1, 1, $2)",
            view.id,
            document,
        )
        await self.db.execute("UPDATE workflows SET published_version = 1 WHERE id = $1", view.id)

    async def start(self, workflow: int | str, **inputs: Any) -> InstanceView:
        return await instances.start(self.db, self.ana, workflow, ["web-1"], inputs)

    async def open_gate(
        self, instance: InstanceView, step_id: str = "gate", title: str = "Deploy?"
    ) -> ApprovalDetail:
        """Open the gate as the engine does when it reaches the step."""
        async with self.db.transaction() as tx:
            workflow = await workflows.load_version(tx, instance.workflow_id, instance.workflow_version)
            step = workflow.step(step_id)
            assert isinstance(step, ApprovalStep)
            await tx.execute("UPDATE instances SET status = 'running' WHERE id = $1", instance.id)
            request = await approvals.open_request(
                tx,
                instance_id=instance.id,
                step_id=step_id,
                visit=1,
                step=step,
                title=title,
                description="",
                started_by=self.ana.id,
            )
        return await approvals.show(self.db, self.bo, request)

    async def gated(self, **step: Any) -> ApprovalDetail:
        """A started instance with its gate open; `step` changes the gate."""
        gate = {"id": "gate", "type": "approval", "title": "Deploy?", "approvers": ["role:approver"], **step}
        workflow = await self.publish(
            [gate], name=f"gated-{'-'.join(map(str, step.values())) or 'plainly'}"[:60]
        )
        return await self.open_gate(await self.start(workflow))


async def person(db: Database, name: str, *roles: str) -> Actor:
    view = await users.create(db, SYSTEM, name, f"{name}@example.org", None, list(roles))
    return await users.actor_of(db, view.id)


@pytest.fixture
async def org(db: Database) -> Org:
    await users.bootstrap(db)
    hosts = [
        await db.fetchval("INSERT INTO hosts (name, os) VALUES ($1, 'linux') RETURNING id", name)
        for name in ("web-1", "web-2")
    ]
    return Org(
        db,
        ana=await person(db, "ana", "operator", "approver"),
        bo=await person(db, "bo", "approver"),
        cy=await person(db, "cy", "approver"),
        di=await person(db, "di", "approver"),
        vi=await person(db, "vi", "viewer"),
        hosts=(hosts[0], hosts[1]),
    )


@pytest.fixture
def disk_check() -> Script:
    return Script.model_validate(
        {
            "name": "disk-check",
            "language": "bash",
            "content": "df -h",
            "parameters": [{"name": "threshold", "type": "integer", "default": 90}],
        }
    )


@pytest.fixture
async def save_script(org: Org, disk_check: Script) -> Callable[..., Awaitable[int]]:
    async def save(**changes: Any) -> int:
        script = Script.model_validate({**disk_check.model_dump(), **changes})
        return (await scripts.put(org.db, org.ana, script))[0].id

    return save
