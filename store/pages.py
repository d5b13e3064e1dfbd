"""Paging by keyset: newest first, the cursor is the id of the last row shown, or its version.

Holds no SQL: a listing asks for those below `before(after)`, one row more than it shows, and
hands them to `cut`.
"""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from definitions.errors import Invalid
from definitions.problems import Problem

T = TypeVar("T")

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
_HIGHEST = 2**63 - 1


class Page(BaseModel, Generic[T]):
    """Some rows, and the cursor of the next page (None: that was all)."""

    model_config = ConfigDict(frozen=True)

    items: list[T]
    next: str | None = None


def before(after: str | None) -> int:
    """The id below which the page begins; `after` is a cursor this module made."""
    if after is None:
        return _HIGHEST
    if after.isascii() and after.isdigit() and len(after) <= 19 and int(after) <= _HIGHEST:
        return int(after)
    raise Invalid(
        "The cursor is not one that a page gave out.",
        [
            Problem(
                pointer="/after",
                code="bad-cursor",
                message="Not a cursor.",
                fix="Use `next` of the page before.",
            )
        ],
    )


def bounded(limit: int) -> int:
    """How many rows a page shows: at least one, at most MAX_LIMIT."""
    return max(1, min(limit, MAX_LIMIT))


def cut(rows: Sequence[T], limit: int, row_id: Callable[[T], int]) -> Page[T]:
    """The page of `rows`, of which there may be one more than `limit`."""
    shown = list(rows[: bounded(limit)])
    return Page[T](items=shown, next=str(row_id(shown[-1])) if len(rows) > len(shown) else None)
