"""A condition decides at once, from values of earlier steps; it never waits."""

import json
import re

from definitions import conditions, variables
from definitions.errors import Invalid
from definitions.lifecycles.instance import StepStatus
from definitions.references import REFERENCE, references
from definitions.routing import Outcome
from definitions.steps import ConditionStep
from tasks.step_run import Settled, StepRun, failed

LONGEST_VALUE = 40
"""Characters of a value that the sentence shows; the page has the whole of it at its own step."""
_QUOTED = re.compile(rf"""(["']?){REFERENCE.pattern}\1""")
"""Quotes around a reference belong to it, as in the evaluation."""


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
    reason = f"With its values: {with_values(step.condition, scope)}."
    return Settled(outcome, StepStatus.COMPLETED, reason, None, sent)


def with_values(condition: str, scope: variables.Scope) -> str:
    """The condition with a value in the place of each reference, on one line, for people to read.

    Nothing evaluates this text. Long values are cut short; of a secret no scope has more than a mark.
    """
    found = iter(references(condition))

    def shown() -> str:
        reference = next(found)
        text = json.dumps(variables.value_of(reference, scope), ensure_ascii=False)
        return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"

    return " ".join(_QUOTED.sub(lambda _: shown(), condition).split())
