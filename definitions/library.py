"""A library: functions put in front of the scripts that name it."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ConfigDict

from definitions.names import Name
from definitions.nearest import pointer_to
from definitions.prepending import unfit_library
from definitions.problems import Problem
from definitions.script import Content, Language, Script, parse_named


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


def unfit_links(script: Script, known: Mapping[str, Language | None]) -> Iterator[Problem]:
    """What is wrong with each library that a script links. `known`: the language of those there are, and
    None of one that is archived."""
    for index, name in enumerate(script.libraries):
        language = known.get(name)
        if name not in known:
            code, message = "unknown-library", f"There is no library {name!r}."
            fix = "Save the library first, or leave it out."
        elif language is None:
            code, message = "archived-library", f"The library {name!r} is archived."
            fix = "Save the library again first."
        elif language != script.language:
            code, message = (
                "other-language",
                f"The library {name!r} is {language}, the script is {script.language}.",
            )
            fix = f"Link a library in {script.language}."
        elif name in script.libraries[:index]:
            code, message = "linked-twice", f"The library {name!r} is linked twice."
            fix = "Link it once."
        else:
            continue
        yield Problem(pointer=pointer_to("/libraries", index), code=code, message=message, fix=fix)
