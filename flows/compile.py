"""Compiles a workflow into a Prefect flow: named after the workflow, one task per step.

The flow does not contain the steps' order: it runs one segment of an instance from the frontier
the store has (`flows.segment`). The tasks exist so that Prefect shows each step by its id, with
its state and its place in the graph. They take no parameters (every parameter adds edges to
Prefect's graph) and find their work in `current`. They have no tags either: for every tagged task
Prefect's engine asks the server for concurrency slots and gives them back (`prefect/task_engine.py`),
a fifth of what the server spent on an instance.
"""

import os
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from prefect import Flow, Task, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.filesystems import LocalFileSystem
from prefect.states import Cancelled, Completed, Failed

from definitions.routing import Outcome
from definitions.workflow import Workflow, all_steps
from tasks.step_run import Settled, Waiting

StepAnswer = Settled | Waiting


@dataclass
class Call:
    """One run of one step's task: what to do, and where the answer or the error is put."""

    work: Callable[[], Awaitable[StepAnswer]]
    answer: StepAnswer | None = None
    error: Exception | None = None


current: ContextVar[Call] = ContextVar("opsgate_step_call")


async def _run_step() -> State[None]:
    """Messages of these states hold no reason: it may quote values, and they stay in the store."""
    call = current.get()
    try:
        call.answer = await call.work()
    except Exception as error:
        # Not raised into Prefect, which would keep the text of it.
        call.error = error
        return Failed(message="The step could not be run; Opsgate's worker log says why.")
    if isinstance(call.answer, Waiting):
        return Completed(name="Parked", message=call.answer.sentence)
    if call.answer.outcome is Outcome.FAILURE:
        return Failed(message="The step failed; Opsgate says why.")
    if call.answer.outcome is Outcome.CANCELLED:
        return Cancelled(message="Given up; Opsgate says why.")
    return Completed(message=f"Ended with {call.answer.outcome}.")


@dataclass(frozen=True)
class CompiledWorkflow:
    """A workflow version ready to run in this process."""

    workflow: Workflow
    flow: Flow[Any, Any]
    tasks: dict[str, Task[[], Any]]


def compile_workflow(workflow: Workflow, body: Callable[[int], Awaitable[State[None]]]) -> CompiledWorkflow:
    """Build the flow and its tasks. `body` runs one segment of the instance it is given."""

    async def run_instance(instance_id: int) -> State[None]:
        return await body(instance_id)

    tasks = {
        step.id: task(
            name=step.id,
            task_run_name=step.id,
            description=step.label,
            cache_policy=NO_CACHE,
            persist_result=False,
            log_prints=False,
        )(_run_step)
        for step in all_steps(workflow.steps)
    }
    compiled = flow(
        name=workflow.name,
        description=workflow.description or None,
        persist_result=False,
        log_prints=False,
        validate_parameters=False,
        result_serializer="json",
    )(run_instance)
    # Without a storage of its own Prefect asks the server for the default one at every run, by a
    # blocking call on the worker's loop. Nothing is ever stored.
    compiled.result_storage = LocalFileSystem(basepath=os.devnull)
    return CompiledWorkflow(workflow, compiled, tasks)
