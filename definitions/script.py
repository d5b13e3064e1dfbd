"""A script as people write it: its model, and how a document becomes one."""

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from definitions.declarations import read_parameters
from definitions.names import Name, check_kind, check_name
from definitions.parameters import Parameter
from definitions.problems import Problem, has_errors
from definitions.reading import kind_of, not_json, read

Language = Literal["bash", "python", "powershell"]
CONTENT_CHARACTERS = 1024 * 1024
"""Most of a script, of a library, and of a script with its libraries."""
Content = Annotated[str, Field(min_length=1, max_length=CONTENT_CHARACTERS)]
M = TypeVar("M", bound=BaseModel)


class Script(BaseModel):
    """What a script file says; `content_file` has been read into `content` by then."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    language: Language
    content: Content
    timeout_seconds: Annotated[int, Field(strict=True, ge=1, le=7 * 24 * 3600)] = 300
    parameters: tuple[Parameter, ...] = ()
    run_as: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    requires_elevation: Annotated[bool, Field(strict=True)] = False
    libraries: tuple[Name, ...] = ()

    def document(self) -> dict[str, object]:
        """The canonical document: `parse_script` gives this script back for it."""
        return {"kind": "script", **self.model_dump(mode="json")}


def parse_script(document: object) -> tuple[Script | None, list[Problem]]:
    """The script, if the document has the right shape, and everything found on the way."""
    return parse_named(Script, document, "script")


def parse_named(model: type[M], document: object, kind: str) -> tuple[M | None, list[Problem]]:
    """A script or a library from its document."""
    odd = not_json(document)
    if odd or not isinstance(document, dict):
        message = f"A {kind} is an object with named fields, not {kind_of(document)}."
        wrong = Problem(pointer="", code="wrong-type", message=message, fix="Write `name` and `content`.")
        return None, odd or [wrong]
    problems = [*check_kind(document, kind), *check_name(document)]
    rest = {key: value for key, value in document.items() if value is not None and key != "kind"}
    declared: list[Problem] = []
    if "parameters" in model.model_fields:
        rest["parameters"], declared = read_parameters(rest.get("parameters"), "/parameters")
    made, found = read(model, rest, "", kind)
    problems += [*found, *declared]
    return (None if has_errors(problems) else made), problems
