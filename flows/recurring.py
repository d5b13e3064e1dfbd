"""A run of a recurring job's deployment: fires what is due, or a tick by hand if somebody started it.

Its only parameter is the recurring job's id. What a tick leads to is the store's; a run that comes late,
twice or for nothing finds that everything is answered. The warm worker comes by `run_here`, without
Prefect's engine; a stock worker by the flow.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from prefect import flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.exceptions import Abort
from prefect.states import Cancelled, Completed, Crashed, Running, Scheduled

from flows.process import EngineProcess, engine_process, log
from flows.settings import EngineSettings
from store import ticks
from store.connection import Database
from store.engine import schedules

PARAMETER = "recurring_job_id"

_SKEW_SECONDS = 3.0
"""How far the database's clock may be behind ours: a tick is due by that one."""


async def run_here(process: EngineProcess, client: PrefectClient, flow_run: FlowRun) -> None:
    """Run one in this process, and have Prefect show how it went; raises nothing."""
    try:
        if not await _waited(process, flow_run):
            due: State[Any] = Scheduled(scheduled_time=flow_run.expected_start_time)
            await client.set_flow_run_state(flow_run.id, due, force=True)
            return
        state = await fire(process.db, flow_run)
        if state.is_completed():
            await client.set_flow_run_state(flow_run.id, Running(), force=True)
    except Exception as error:
        # The tick stays due: the keeper answers it.
        log.warning("a tick could not be fired", flow_run=str(flow_run.id), error=repr(error))
        state = Crashed(message="Opsgate could not answer now; it does so later.")
    try:
        await client.set_flow_run_state(flow_run.id, state, force=True)
    except Exception as error:
        log.warning("Prefect was not told of a tick", flow_run=str(flow_run.id), error=repr(error))


async def fire(db: Database, flow_run: FlowRun) -> State[Any]:
    """Fire what is due, or by hand; the state that the run ends with. It says counts only."""
    number = flow_run.parameters.get(PARAMETER)
    if not isinstance(number, int) or not await schedules.is_its_own(db, number, flow_run.deployment_id):
        return Cancelled(message="Opsgate did not make this run's deployment for this recurring job.")
    if not flow_run.auto_scheduled:
        tick = await ticks.fire_by_hand(db, None, number, flow_run.id)
        return Completed(name=tick.outcome.capitalize(), message=f"Tick {tick.id}, by hand.")
    answered, ran = await _due(db, number, flow_run.expected_start_time or datetime.now(UTC))
    if not answered:
        return Completed(name="Answered", message="Everything that is due was answered already.")
    return Completed(name="Ran" if ran else "Skipped", message=f"Ticks: {answered}, of which ran: {ran}.")


async def _due(db: Database, number: int, expected: datetime) -> tuple[int, int]:
    loop = asyncio.get_running_loop()
    until, answered, ran = loop.time() + _SKEW_SECONDS, 0, 0
    while True:
        fired = await ticks.fire_due(db, number)
        answered, ran = answered + fired.answered, ran + fired.ran
        if fired.more:
            continue
        if fired.answered or loop.time() > until or await schedules.is_answered(db, number, expected):
            return answered, ran
        await asyncio.sleep(0.05)


async def _waited(process: EngineProcess, flow_run: FlowRun) -> bool:
    """Wait for the moment the run is for, as workers get runs some seconds before; False: the worker ends."""
    if flow_run.expected_start_time is None:
        return True
    left = flow_run.expected_start_time.timestamp() - time.time()
    if left <= 0:
        return True
    try:
        await asyncio.wait_for(process.draining.wait(), left)
    except TimeoutError:
        return True
    return False


@flow(name="recurring-job", persist_result=False, log_prints=False, result_serializer="json")
async def fire_recurring_job(recurring_job_id: int) -> State[Any]:
    """The entrypoint of the deployments, for Prefect's stock workers."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("fire_recurring_job runs inside a flow run")
    async with engine_process(EngineSettings(), pool_size=3) as process:
        state = await fire(process.db, context.flow_run)
    if state.is_cancelled():
        raise Abort(state.message)
    return state
