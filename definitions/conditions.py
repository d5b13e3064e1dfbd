"""Conditions: CEL over bound variables; the text of a value never enters the expression."""

from definitions.errors import Invalid
from definitions.problems import Problem
from definitions.variables import Scope


class ConditionFailed(Invalid):
    """A condition has no answer; the message names both types when they do not fit."""

    title = "The condition has no answer"


def check(condition: str) -> list[Problem]:
    """Everything that can be said against a condition without values."""
    raise NotImplementedError


def evaluate(condition: str, scope: Scope) -> bool:
    """Its answer; raises `ConditionFailed` or `Unresolved`."""
    raise NotImplementedError
