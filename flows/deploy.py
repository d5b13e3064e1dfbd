"""One Prefect deployment per workflow, in the work pool `opsgate`.

A deployment names the workflow; the instance pins the version. The stock `process` worker can
run the same entrypoint.
"""

import math
import time
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from flows.settings import WORK_POOL, WORKER_TYPE
from store.connection import Database
from store.engine import runs

_REMEMBERED_SECONDS = 30.0
"""How long a deployment deleted in Prefect may go unnoticed; its runs work all the same."""

ENTRYPOINT = "flows.run_workflow.run_workflow"

_PARAMETERS = {
    "type": "object",
    "title": "Parameters",
    "properties": {"instance_id": {"type": "integer", "title": "instance_id", "position": 0}},
    "required": ["instance_id"],
}


async def ensure_pool(client: PrefectClient) -> None:
    """Create the work pool if there is none."""
    try:
        await client.read_work_pool(WORK_POOL)
    except ObjectNotFound:
        try:
            await client.create_work_pool(
                WorkPoolCreate(name=WORK_POOL, type=WORKER_TYPE, base_job_template={})
            )
        except ObjectAlreadyExists:
            return


async def deploy(db: Database, client: PrefectClient, workflow_id: int) -> UUID | None:
    """Create or update a workflow's deployment; returns its id, or None if nothing is published."""
    wanted = await runs.deployable(db, workflow_id)
    if wanted is None:
        return None
    flow_id = await client.create_flow_from_name(wanted.name)
    deployment_id = await client.create_deployment(
        flow_id=flow_id,
        name="opsgate",
        version=str(wanted.version),
        description=wanted.description or None,
        work_pool_name=WORK_POOL,
        entrypoint=ENTRYPOINT,
        path=".",
        tags=["opsgate"],
        parameter_openapi_schema=_PARAMETERS,
        enforce_parameter_schema=True,
    )
    await runs.deployed(db, workflow_id, wanted.version, deployment_id)
    return deployment_id


async def deployment_of(db: Database, client: PrefectClient, workflow_id: int) -> UUID | None:
    """The deployment of a workflow, made now if it is missing or out of date."""
    wanted = await runs.deployable(db, workflow_id)
    if wanted is not None and wanted.deployment_id is not None and wanted.deployed_version == wanted.version:
        return wanted.deployment_id
    return await deploy(db, client, workflow_id)


_flows: dict[UUID, tuple[float, UUID]] = {}


async def flow_of(client: PrefectClient, deployment_id: UUID) -> UUID:
    """The flow of a deployment, remembered for half a minute; `ObjectNotFound` if it was deleted."""
    now = time.monotonic()
    asked_at, flow_id = _flows.get(deployment_id, (-math.inf, deployment_id))
    if now - asked_at > _REMEMBERED_SECONDS:
        flow_id = (await client.read_deployment(deployment_id)).flow_id
        _flows[deployment_id] = (now, flow_id)
    return flow_id
