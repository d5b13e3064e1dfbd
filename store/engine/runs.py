"""Which flow run belongs to which instance."""

from dataclasses import dataclass
from uuid import UUID

from store.connection import Database


@dataclass(frozen=True)
class Bound:
    """An instance, the version it pinned, and the one flow run that may run it."""

    instance_id: int
    workflow_id: int
    workflow_version: int
    flow_run_id: UUID | None


async def bound(db: Database, instance_id: int) -> Bound | None:
    """The binding of an instance, or None if there is no such instance."""
    row = await db.fetchrow(
        "SELECT id, workflow_id, workflow_version, flow_run_id FROM instances WHERE id = $1", instance_id
    )
    return None if row is None else Bound(*row.values())


@dataclass(frozen=True)
class Deployable:
    """What a workflow's deployment in Prefect needs."""

    workflow_id: int
    name: str
    description: str
    version: int
    deployment_id: UUID | None
    deployed_version: int | None


async def deployable(db: Database, workflow_id: int) -> Deployable | None:
    """A published workflow, or None."""
    row = await db.fetchrow(
        """SELECT w.id, w.name, coalesce(v.definition->>'description', ''), v.version, w.deployment_id,
                  w.deployed_version
           FROM workflows w
           JOIN workflow_versions v ON v.workflow_id = w.id AND v.version = w.published_version
           WHERE w.id = $1""",
        workflow_id,
    )
    return None if row is None else Deployable(*row.values())


async def deployed(db: Database, workflow_id: int, version: int, deployment_id: UUID) -> None:
    """Note the deployment that Prefect has for a workflow."""
    await db.execute(
        "UPDATE workflows SET deployment_id = $3, deployed_version = $2 WHERE id = $1",
        workflow_id,
        version,
        deployment_id,
    )
