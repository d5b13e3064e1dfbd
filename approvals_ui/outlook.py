"""What lies ahead: what a decision leads to, and which steps an instance has not reached.

Asks `definitions.routing`, the same rule the engine goes by. Pure.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from definitions import routing
from definitions.lifecycles.instance import InstanceStatus
from definitions.parameters import Value
from definitions.routing import Active, Outcome
from definitions.steps import Step
from definitions.steps.step import END
from definitions.workflow import Workflow, all_steps


@dataclass(frozen=True)
class Outlook:
    """Both ways on from a gate, each in a sentence."""

    approved: str
    rejected: str


ENDS = {
    InstanceStatus.COMPLETED: "The instance completes.",
    InstanceStatus.FAILED: "The instance ends as failed.",
    InstanceStatus.CANCELLED: "The instance ends as cancelled.",
}


def of_gate(workflow: Workflow, step_id: str, visit: int = 1) -> Outlook:
    """Where a gate leads."""
    gate = Active(step_id, visit)
    return Outlook(_ahead(workflow, gate, Outcome.SUCCESS), _ahead(workflow, gate, Outcome.FAILURE))


def of_resumed(identity: str) -> Outlook:
    """What a decision leads to about what a resumed instance asks for again, which waits at no gate."""
    return Outlook(
        f"The steps that run as {identity} go on; the instance was resumed, and the others don't wait.",
        f"The steps that run as {identity} fail.",
    )


def of_script(identity: str) -> Outlook:
    """What a decision about a checkout for jobs alone leads to."""
    return Outlook(f"The script runs as {identity}.", "Its jobs fail; nothing runs.")


def _ahead(workflow: Workflow, gate: Active, outcome: Outcome) -> str:
    advance = routing.advance(workflow, (gate,), gate, outcome)
    if advance.ended is not None:
        return ENDS.get(advance.ended, advance.reason)
    if not advance.frontier:
        return "Its branch ends." if advance.target == END else "Its branch fails."
    return f"Goes on with the step “{workflow.step(advance.frontier[0].step).label}”."


def in_order(workflow: Workflow, inputs: Mapping[str, Value]) -> dict[str, Value]:
    """Inputs in the order in which the workflow declares them; the database forgets it."""
    declared = [parameter.name for parameter in workflow.inputs]
    return {name: inputs[name] for name in [*declared, *inputs] if name in inputs}


def not_reached(workflow: Workflow, reached: Collection[str]) -> list[Step]:
    """The steps that have no result, in the order of the definition."""
    return [step for step in all_steps(workflow.steps) if step.id not in reached]
