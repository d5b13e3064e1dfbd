"""The keeper's part in recurring jobs: Prefect's schedules in step with the store, and ticks nobody fired.

A pause in Prefect is a wish of a person and is taken over; anything else that was changed there is put back.
"""

from datetime import datetime
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from prefect.states import Scheduled

from flows.process import log
from flows.recurring import PARAMETER
from flows.settings import WORK_POOL
from store import ticks
from store.connection import Database
from store.engine import schedules
from store.engine.schedules import Wanted

ENTRYPOINT = "flows.recurring.fire_recurring_job"
_FLOW = "recurring-job"
_PARAMETERS = {
    "type": "object",
    "title": "Parameters",
    "properties": {PARAMETER: {"type": "integer", "title": PARAMETER, "position": 0}},
}
_TAG = "recurring"
_AT_ONCE = 200
"""Deployments compared with one call, and runs."""
LEFT_SECONDS = 60
"""How long a run may take before its worker is taken for dead."""


async def tell(db: Database, client: PrefectClient) -> None:
    """Bring Prefect to what the store wants."""
    for wanted in await schedules.outdated(db):
        try:
            await _tell(db, client, wanted)
        except Exception as error:
            log.warning("Prefect was not told of a recurring job", recurring_job=wanted.id, error=repr(error))


async def listen(db: Database, client: PrefectClient) -> None:
    """See what was paused, resumed, changed or deleted in Prefect."""
    after = 0
    while known := await schedules.deployed(db, _AT_ONCE, after):
        after = known[-1].id
        ids = [wanted.deployment_id for wanted in known if wanted.deployment_id is not None]
        found = await client.read_deployments(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=ids)), limit=_AT_ONCE
        )
        there = {deployment.id: deployment for deployment in found}
        for wanted in known:
            if wanted.deployment_id is not None:
                await _compare(db, wanted, there.get(wanted.deployment_id))


async def requeue(client: PrefectClient, before: datetime) -> None:
    """Have a worker take up again what one that ended has left: firing twice is firing once."""
    left = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[_TAG]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING])),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=before),
    )
    for flow_run in await client.read_flow_runs(flow_run_filter=left, limit=_AT_ONCE):
        await client.set_flow_run_state(flow_run.id, Scheduled(message="Its worker ended."))


async def catch_up(db: Database) -> None:
    """Answer what is due and was not fired."""
    for number in await schedules.overdue(db):
        try:
            while (await ticks.fire_due(db, number)).more:
                continue
        except Exception as error:
            log.warning("an overdue tick could not be fired", recurring_job=number, error=repr(error))


async def _tell(db: Database, client: PrefectClient, wanted: Wanted) -> None:
    if wanted.archived:
        await _delete(client, wanted.deployment_id)
        await schedules.told(db, wanted, None)
        return
    definition = wanted.definition
    schedule = CronSchedule(cron=definition.cron, timezone=definition.timezone, day_or=wanted.either_day)
    deployment_id = await client.create_deployment(
        flow_id=await client.create_flow_from_name(_FLOW),
        name=definition.name,
        # What both of Prefect's user interfaces show and switch is the schedule, not the deployment.
        schedules=[DeploymentScheduleCreate(schedule=schedule, active=wanted.active)],
        paused=False,
        parameters={PARAMETER: wanted.id},
        work_pool_name=WORK_POOL,
        entrypoint=ENTRYPOINT,
        path=".",
        tags=["opsgate", _TAG],
        parameter_openapi_schema=_PARAMETERS,
        enforce_parameter_schema=True,
    )
    await schedules.told(db, wanted, deployment_id)
    if wanted.deployment_id is not None and wanted.deployment_id != deployment_id:  # it has another name now
        await _delete(client, wanted.deployment_id)
    if not wanted.active:
        await _delete_waiting(client, deployment_id)


async def _delete(client: PrefectClient, deployment_id: UUID | None) -> None:
    if deployment_id is None:
        return
    await _delete_waiting(client, deployment_id)
    try:
        await client.delete_deployment(deployment_id)
    except ObjectNotFound:
        return


async def _delete_waiting(client: PrefectClient, deployment_id: UUID) -> None:
    """Also those that are late: of what is over nothing may come any more."""
    waiting = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])))
    of = DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id]))
    for flow_run in await client.read_flow_runs(
        flow_run_filter=waiting, deployment_filter=of, limit=_AT_ONCE
    ):
        if not flow_run.auto_scheduled:  # somebody has just asked for it
            continue
        try:
            await client.delete_flow_run(flow_run.id)
        except ObjectNotFound:
            continue


async def _compare(db: Database, wanted: Wanted, there: DeploymentResponse | None) -> None:
    if there is None:
        await schedules.differs(db, wanted)
        return
    active = not there.paused and any(each.active for each in there.schedules)
    if active != wanted.active and (wanted.active or wanted.paused_there):
        await schedules.switched_there(db, wanted, enabled=active)
    elif active != wanted.active or not _same(wanted, there):
        await schedules.differs(db, wanted)


def _same(wanted: Wanted, there: DeploymentResponse) -> bool:
    if len(there.schedules) != 1 or there.parameters != {PARAMETER: wanted.id}:
        return False
    schedule = there.schedules[0].schedule
    return isinstance(schedule, CronSchedule) and (schedule.cron, schedule.timezone, schedule.day_or) == (
        wanted.definition.cron,
        wanted.definition.timezone,
        wanted.either_day,
    )
