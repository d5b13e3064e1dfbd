"""A condition said with its values, for people to read; nothing evaluates these texts."""

import json
import re

from definitions.references import REFERENCE, references
from definitions.variables import Scope, value_of

LONGEST_VALUE = 40
"""Characters of a value that the sentence shows; the page has the whole of it at its own step."""
_QUOTED = re.compile(rf"""(["']?){REFERENCE.pattern}\1""")
"""Quotes around a reference belong to it, as in the evaluation."""


def why(condition: str, scope: Scope) -> str:
    """The sentence that goes with the answer; raises `Unresolved`."""
    return f"With its values: {with_values(condition, scope)}."


def with_values(condition: str, scope: Scope) -> str:
    """The condition with a value in the place of each reference, on one line.

    Long values are cut short; of a secret no scope has more than a mark.
    """
    found = iter(references(condition))

    def shown() -> str:
        text = json.dumps(value_of(next(found), scope), ensure_ascii=False)
        return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"

    return " ".join(_QUOTED.sub(lambda _: shown(), condition).split())
