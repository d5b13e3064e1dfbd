"""A flow run asks Prefect's server for no result storage: that call blocks the worker's whole loop."""

from collections.abc import Iterator
from typing import Any

import pytest
from prefect import results
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow_async
from prefect.states import Completed

from definitions.routing import Outcome
from definitions.workflow import Workflow
from flows.compile import Call, CompiledWorkflow, compile_workflow, current
from tasks.step_run import completed


@pytest.fixture(scope="module")
def prefect() -> Iterator[None]:
    """A Prefect server of its own, for as long as the module's tests last."""
    # Here, for it brings Prefect's whole server into the process.
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=90):
        yield


@pytest.fixture
def look_ups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The look-ups made, none of them carried out. Names that the pinned Prefect lacks fail here."""
    made: list[str] = []

    def blocking() -> None:
        made.append("blocking")

    async def awaited() -> None:
        made.append("awaited")

    monkeypatch.setattr(results, "_read_server_default_result_storage_block_id", blocking)
    monkeypatch.setattr(results, "_aread_server_default_result_storage_block_id", awaited)
    return made


async def run(without_storage: bool) -> Any:
    workflow = Workflow.model_validate(
        {"name": "w", "steps": [{"id": "a", "type": "command", "command": "true"}]}
    )

    async def work() -> Any:
        return completed()

    async def body(_: int) -> Any:
        token = current.set(Call(work))
        try:
            step: Any = compiled.tasks["a"]
            state = await step(return_state=True)
        finally:
            current.reset(token)
        return Completed(message=f"{Outcome.SUCCESS}: {state.name}")

    compiled: CompiledWorkflow = compile_workflow(workflow, body)
    if without_storage:
        compiled.flow.result_storage = None
    async with get_client() as client:
        flow_run = await client.create_flow_run(compiled.flow, parameters={"instance_id": 1})
        return await run_flow_async(
            flow=compiled.flow, flow_run=flow_run, parameters={"instance_id": 1}, return_type="state"
        )


@pytest.mark.usefixtures("prefect")
async def test_no_result_storage_is_looked_up_during_a_run(look_ups: list[str]) -> None:
    state = await run(without_storage=False)
    assert (state.is_completed(), state.message) == (True, "success: Completed")
    assert look_ups == []


@pytest.mark.usefixtures("prefect")
async def test_without_a_storage_of_its_own_it_would_be(look_ups: list[str]) -> None:
    """Else the test above shows nothing, or the pinned Prefect needs it no more."""
    await run(without_storage=True)
    assert look_ups != []
