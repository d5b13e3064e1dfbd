"""One Prefect deployment per workflow, in the work pool `opsgate`.

A deployment names the workflow; the instance pins the version. The stock `process` worker can
run the same entrypoint.
"""

import time
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from definitions.harmless import markdown
from flows.settings import WORK_POOL, WORKER_TYPE
from store.connection import Database
from store.engine import runs

_REMEMBERED_SECONDS = 30.0
"""How long a deployment deleted or moved in Prefect may go unnoticed. A run of a deleted one is never
given to a worker; `prefect_runs` makes another."""

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
        description=markdown(wanted.description) or None,  # Prefect shows it as Markdown
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


_remembered: dict[UUID, tuple[float, DeploymentResponse]] = {}


async def read_deployment(
    client: PrefectClient, deployment_id: UUID, *, anew: bool = False
) -> DeploymentResponse:
    """A deployment, remembered for half a minute unless asked `anew`; `ObjectNotFound` if it was deleted."""
    now = time.monotonic()
    if not anew and (known := _remembered.get(deployment_id)) and now - known[0] < _REMEMBERED_SECONDS:
        return known[1]
    _remembered.pop(deployment_id, None)
    found = await client.read_deployment(deployment_id)
    _remembered[deployment_id] = (now, found)
    return found
