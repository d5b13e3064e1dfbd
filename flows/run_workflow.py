"""The entrypoint of every workflow's deployment, for Prefect's stock workers.

The warm worker does not come through here. A stock worker starts a process per flow run; this
flow finds the instance, and runs one segment of it as that process.
"""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.exceptions import Abort

from flows.execute import Executor, NotOurRun
from flows.lease import held_lease
from flows.process import engine_process
from flows.segment import final_state, run_segment
from flows.settings import EngineSettings
from store.engine import leases


def _flow_run() -> FlowRun:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("run_workflow runs inside a flow run")
    return context.flow_run


@flow(name="run-workflow", persist_result=False, log_prints=False, result_serializer="json")
async def run_workflow(instance_id: int) -> State[Any]:
    """Run one segment of the instance, in a process of its own."""
    context = FlowRunContext.get()
    flow_run = _flow_run()
    async with engine_process(EngineSettings(), pool_size=3) as process:
        executor = Executor(process, context.client)  # type: ignore[union-attr,arg-type]  # an async flow has the async client
        try:
            bound = await executor.bind(flow_run)
        except NotOurRun as refusal:
            raise Abort(str(refusal)) from refusal
        compiled = await executor.compiled(bound.workflow_id, bound.workflow_version)
        try:
            async with held_lease(process, bound.instance_id) as lease:
                return await run_segment(process, compiled, lease)
        except leases.AlreadyEnded as ended:
            return final_state(ended.status)
        except leases.LeaseHeld as refusal:
            raise Abort(str(refusal)) from refusal
