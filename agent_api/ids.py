"""What requests share: ids that PostgreSQL's bigint can hold, moments, and the window of a list."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Path, Query
from pydantic import AfterValidator, AwareDatetime

from store.pages import DEFAULT_LIMIT, MAX_LIMIT

HIGHEST_ID = 2**63 - 1

Id = Annotated[int, Path(ge=1, le=HIGHEST_ID)]
SomeId = Annotated[int | None, Query(ge=1, le=HIGHEST_ID)]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
After = Annotated[str | None, Query(max_length=30)]


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the moment is outside of what can be stored") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A moment with its offset from UTC."""


@dataclass(frozen=True)
class Window:
    """`?limit=&after=` of a list; hand it to the use-case as `**vars(window)`."""

    limit: Limit = DEFAULT_LIMIT
    after: After = None


Paging = Annotated[Window, Depends()]
"""What every route that lists something takes."""
