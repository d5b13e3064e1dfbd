"""A library: functions put in front of the scripts that name it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from definitions.problems import Problem
from definitions.script import Language


class Library(BaseModel):
    """What a library file says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=200)]
    language: Language
    content: Annotated[str, Field(min_length=1, max_length=1024 * 1024)]

    def document(self) -> dict[str, object]:
        """The canonical document: `parse_library` gives this library back for it."""
        raise NotImplementedError


def parse_library(document: object) -> tuple[Library | None, list[Problem]]:
    """The library, if the document has the right shape, and everything found on the way."""
    raise NotImplementedError
