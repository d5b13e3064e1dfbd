"""Brings one instance's flow run in Prefect to where the store wants it.

The store decides; Prefect is re-read before every proposal, because `Scheduled` on a live
Running run is accepted and would execute it twice (the lease would refuse the second).
"""

from typing import Any
from uuid import UUID

import httpx  # what Prefect's client raises
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import ArtifactCreate, FlowRunCreate
from prefect.client.schemas.objects import FlowRun, FlowRunPolicy, State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Pending, Scheduled, to_state_create

from flows.deploy import deploy, deployment_of, read_deployment
from flows.segment import final_state
from store.connection import Database
from store.engine import attention
from store.engine.attention import Idle, Unclosed

_SETTABLE = frozenset(
    {
        StateType.PAUSED,
        StateType.CRASHED,
        StateType.CANCELLED,
        StateType.FAILED,
        StateType.RUNNING,
        StateType.PENDING,
    }
)
"""States from which Prefect takes `Scheduled` unforced (measured on 3.8.8). An instance that failed or
was cancelled and is resumed goes on in the run it has, beside the steps it ran before."""


_PATIENT_NUDGES = 3
"""A Pending run is on its way to a worker, which a busy machine may take seconds for: nudged too
soon, it is executed twice (the lease refuses the second, at the cost of a run)."""


_AWAY = frozenset({502, 503, 504})


def is_away(error: Exception) -> bool:
    """Whether a call failed because Prefect does not answer, whatever it was asked."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in _AWAY
    return isinstance(error, httpx.TransportError)


async def _read(client: PrefectClient, flow_run_id: UUID) -> FlowRun | None:
    try:
        return await client.read_flow_run(flow_run_id)
    except ObjectNotFound:
        return None


async def create_run(db: Database, client: PrefectClient, idle: Idle, *, here: bool) -> FlowRun | None:
    """Make a flow run for an instance; Pending when this process takes it at once, else Scheduled."""
    number = idle.flow_run_n + 1
    for attempt in (1, 2):
        find = deployment_of if attempt == 1 else deploy
        deployment_id = await find(db, client, idle.workflow_id)
        if deployment_id is None:
            return None
        try:
            flow_run = await _create(client, deployment_id, idle, number, Pending() if here else Scheduled())
        except ObjectNotFound:
            continue
        return flow_run if await attention.attach_run(db, idle.instance_id, number, flow_run.id) else None
    return None


async def _create(
    client: PrefectClient, deployment_id: UUID, idle: Idle, number: int, state: State[Any]
) -> FlowRun:
    """A flow run of the deployment, in the pool and queue it is in, by `POST /flow_runs/`: the deployment's
    own `create_flow_run` loads and validates what ours never has (infrastructure, job variables, a
    schema of parameters), and costs Prefect's server four times as much (measured)."""
    deployment = await read_deployment(client, deployment_id)
    asked = FlowRunCreate(
        flow_id=deployment.flow_id,
        deployment_id=deployment_id,
        name=f"{idle.workflow_name} #{idle.instance_id}",
        parameters={"instance_id": idle.instance_id},
        state=to_state_create(state),
        # What the flow has itself, else Prefect's engine sets it with one more call.
        empirical_policy=FlowRunPolicy(retries=0, retry_delay=0),
        # No tag for the instance: its name says which it is, and a tag is a row in Prefect's events.
        tags=["opsgate"],
        idempotency_key=f"opsgate-{idle.instance_id}-{number}",
        work_pool_name=deployment.work_pool_name,
        # The default queue is found faster by naming none.
        work_queue_name=None if deployment.work_queue_name == "default" else deployment.work_queue_name,
    )
    answer = await client.request(
        "POST", "/flow_runs/", json=asked.model_dump(mode="json", exclude_unset=True)
    )
    return FlowRun.model_validate(answer.json())


async def _has_deployment(client: PrefectClient, flow_run: FlowRun) -> bool:
    """Whether the run's deployment is there still: of a deleted one Prefect lets no run become Pending."""
    if flow_run.deployment_id is None:
        return False
    try:
        await read_deployment(client, flow_run.deployment_id, anew=True)
    except ObjectNotFound:
        return False
    return True


async def set_going(db: Database, client: PrefectClient, idle: Idle, *, here: bool) -> FlowRun | None:
    """Make Prefect run an idle instance. Returns the run if this process may take it up at once."""
    flow_run = await _read(client, idle.flow_run_id) if idle.flow_run_id is not None else None
    if flow_run is None or flow_run.state is None:
        return await create_run(db, client, idle, here=here)
    if flow_run.state.type is StateType.SCHEDULED:
        if idle.nudges < _PATIENT_NUDGES or await _has_deployment(client, flow_run):
            return flow_run
        await client.set_flow_run_state(flow_run.id, Cancelled(message="Its deployment is gone."), force=True)
        return await create_run(db, client, idle, here=here)
    if flow_run.state.type is StateType.PENDING and idle.nudges < _PATIENT_NUDGES and not idle.abandoned:
        return None
    if flow_run.state.type is StateType.CANCELLING:
        # Set by somebody in Prefect on a run whose executor is gone: it would stay for ever.
        await client.set_flow_run_state(flow_run.id, Cancelled(message="Cancelled in Prefect."), force=True)
    elif flow_run.state.type not in _SETTABLE:
        return await create_run(db, client, idle, here=here)
    await client.set_flow_run_state(flow_run.id, Scheduled(name="Resuming", message="Woken by Opsgate."))
    return await _read(client, flow_run.id)


async def link_back(client: PrefectClient, flow_run: FlowRun, page: str) -> None:
    """Put the address of an instance's page beside its run, under Artifacts."""
    text = f"[Open in Opsgate]({page})"
    link = ArtifactCreate(type="markdown", description=text, data=text, flow_run_id=flow_run.id)
    await client.create_artifact(link)


async def close(db: Database, client: PrefectClient, ended: Unclosed) -> None:
    """Make Prefect show that an instance has ended, whatever happened to its run."""
    flow_run = await _read(client, ended.flow_run_id) if ended.flow_run_id is not None else None
    if flow_run is not None and (flow_run.state is None or not flow_run.state.is_final()):
        await client.set_flow_run_state(flow_run.id, final_state(ended.status), force=True)
    await attention.closed(db, ended.instance_id)
