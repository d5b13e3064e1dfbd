"""A library: functions put in front of the scripts that name it."""

from pydantic import BaseModel, ConfigDict

from definitions.names import Name
from definitions.prepending import unfit_library
from definitions.problems import Problem
from definitions.script import Content, Language, parse_named


class Library(BaseModel):
    """What a library file says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    language: Language
    content: Content

    def document(self) -> dict[str, object]:
        """The canonical document: `parse_library` gives this library back for it."""
        return {"kind": "library", **self.model_dump(mode="json")}


def parse_library(document: object) -> tuple[Library | None, list[Problem]]:
    """The library, if the document has the right shape, and everything found on the way."""
    library, problems = parse_named(Library, document, "library")
    if library is None:
        return None, problems
    unfit = list(unfit_library(library.language, library.content))
    return (None if unfit else library), [*problems, *unfit]
