"""Executes one flow run in this process: finds its instance, compiles its workflow, runs a segment.

`prefect.flow_engine.run_flow_async` is not documented; the pin in pyproject.toml and
tests/flows hold it.
"""

import asyncio
from collections import OrderedDict
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import Abort
from prefect.flow_engine import run_flow_async
from prefect.flow_runs import Pause  # type: ignore[attr-defined]  # Prefect re-exports it undeclared
from prefect.states import Cancelled

from definitions.workflow import Workflow
from flows.compile import CompiledWorkflow, compile_workflow
from flows.lease import held_lease
from flows.process import EngineProcess, log
from flows.segment import final_state, run_segment
from store import workflows
from store.engine import attention, leases, runs
from store.engine.leases import Lease

_KEPT = 500
"""Compiled workflow versions kept in memory."""

_UNDRESSED: dict[str, Any] = {
    "deployment_id": None,
    "work_queue_id": None,
    "work_pool_name": None,
    "tags": [],
}
"""What Prefect's engine need not know of a run. With a deployment it starts an observer thread per run
that blocks the loop (`prefect/_flow_run_suspension.py`). All four it would attach to each event of each
task (`prefect/events/related.py`), which the server parses and stores again and again: half of what an
instance writes there. The events of the run itself, which the server makes, have them."""

_ATTACH_SECONDS = 3.0
"""How long a run may be picked up before the keeper has noted it as its instance's."""


class NotOurRun(Exception):
    """The flow run is not the one its instance was given: somebody made it by hand."""


class Executor:
    """Runs flow runs in one engine process; keeps compiled flows loaded."""

    def __init__(self, process: EngineProcess, client: PrefectClient) -> None:
        self.process = process
        self.client = client
        self._leases: dict[int, Lease] = {}
        self._compiled: OrderedDict[tuple[int, int], CompiledWorkflow] = OrderedDict()

    async def execute(self, flow_run: FlowRun) -> None:
        """Run one segment; every way it can end is noted, none is raised."""
        try:
            bound = await self.bind(flow_run)
            compiled = await self.compiled(bound.workflow_id, bound.workflow_version)
        except NotOurRun as refusal:
            log.warning("a flow run was refused", flow_run=str(flow_run.id), reason=str(refusal))
            await self.client.set_flow_run_state(flow_run.id, Cancelled(message=str(refusal)), force=True)
            return
        try:
            # Taken before Prefect's engine starts: until then the keeper would think nobody has it.
            async with held_lease(self.process, bound.instance_id) as lease:
                self._leases[bound.instance_id] = lease
                try:
                    state: Any = await run_flow_async(
                        flow=compiled.flow,
                        flow_run=flow_run.model_copy(update=_UNDRESSED),
                        parameters={"instance_id": bound.instance_id},
                        return_type="state",
                    )
                finally:
                    del self._leases[bound.instance_id]
        except leases.AlreadyEnded as ended:
            state = final_state(ended.status)
            await self.client.set_flow_run_state(flow_run.id, state, force=True)
        except (Pause, Abort, leases.LeaseHeld) as left:
            log.debug(
                "a segment ended", instance=bound.instance_id, how=type(left).__name__, reason=str(left)
            )
            return
        except Exception as error:
            # The instance is safe in the store; the keeper sets it going again.
            log.warning("a segment broke off", instance=bound.instance_id, error=repr(error))
            return
        if state is not None and state.is_final():
            await attention.closed(self.process.db, bound.instance_id)

    async def bind(self, flow_run: FlowRun) -> runs.Bound:
        """The instance of a flow run, if the store says that this is its run."""
        instance_id = flow_run.parameters.get("instance_id")
        if not isinstance(instance_id, int):
            raise NotOurRun("The run names no instance. Start workflows in Opsgate.")
        loop = asyncio.get_running_loop()
        until = loop.time() + _ATTACH_SECONDS
        while True:
            bound = await runs.bound(self.process.db, instance_id)
            if bound is not None and bound.flow_run_id == flow_run.id:
                return bound
            if bound is None or bound.flow_run_id is not None or loop.time() > until:
                raise NotOurRun(
                    f"Opsgate did not make this run for instance {instance_id}. Start workflows there."
                )
            await asyncio.sleep(0.05)

    async def compiled(self, workflow_id: int, version: int) -> CompiledWorkflow:
        """The compiled flow of a workflow version, from memory if it was used lately."""
        key = (workflow_id, version)
        found = self._compiled.get(key)
        if found is None:
            async with self.process.db.connection() as tx:
                workflow = await workflows.load_version(tx, workflow_id, version)
            found = self._compile(workflow)
            self._compiled[key] = found
            if len(self._compiled) > _KEPT:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(key)
        return found

    def _compile(self, workflow: Workflow) -> CompiledWorkflow:
        async def body(instance_id: int) -> Any:
            context = FlowRunContext.get()
            if context is not None and context.flow_run is not None:  # read anew by the engine
                for name, value in _UNDRESSED.items():
                    setattr(context.flow_run, name, value)
            return await run_segment(self.process, compiled, self._leases[instance_id])

        compiled = compile_workflow(workflow, body)
        return compiled
