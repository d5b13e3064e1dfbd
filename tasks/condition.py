"""A condition decides at once, from values of earlier steps; it never waits."""

from definitions import condition_words, conditions
from definitions.errors import Invalid
from definitions.lifecycles.instance import StepStatus
from definitions.routing import Outcome
from definitions.steps import ConditionStep
from tasks.step_run import Settled, StepRun, failed


async def begin(run: StepRun) -> Settled:
    """Evaluate; a type error or a missing value fails the step and says which."""
    step = run.step
    assert isinstance(step, ConditionStep)
    sent = {"condition": step.condition}
    scope = run.scope()
    try:
        value = conditions.evaluate(step.condition, scope)
    except Invalid as error:
        return failed(error.message, sent)
    outcome = Outcome.TRUE if value else Outcome.FALSE
    return Settled(outcome, StepStatus.COMPLETED, condition_words.why(step.condition, scope), None, sent)
