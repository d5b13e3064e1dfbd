"""Names of people and hosts: one spelling each, so that no two can be mistaken for each other."""

import re
import unicodedata

from definitions.errors import Invalid
from definitions.problems import Problem

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?")


def normalise(name: str) -> str:
    """The one spelling of a name: NFKC, lower case, no surrounding blanks or final dot."""
    return unicodedata.normalize("NFKC", name).strip().rstrip(".").lower()


def checked(name: str, what: str) -> str:
    """The normalised name, or `Invalid` if it can't be one."""
    normal = normalise(name)
    if _NAME.fullmatch(normal) and not normal.isdigit():
        return normal
    raise Invalid(
        f"{name[:80]!r} can't be the name of a {what}.",
        [
            Problem(
                pointer="/name",
                code="bad-name",
                message="A name has letters a-z, digits, dot, dash, underscore, and is not only digits.",
                fix="Choose such a name.",
            )
        ],
    )
