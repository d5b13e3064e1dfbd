"""A script as people write it: its model, and how a document becomes one."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from definitions.parameters import Parameter
from definitions.problems import Problem

Language = Literal["bash", "python", "powershell"]


class Script(BaseModel):
    """What a script file says; `content_file` has been read into `content` by then."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=200)]
    language: Language
    content: Annotated[str, Field(min_length=1, max_length=1024 * 1024)]
    timeout_seconds: Annotated[int, Field(strict=True, ge=1, le=7 * 24 * 3600)] = 300
    parameters: tuple[Parameter, ...] = ()
    run_as: str | None = None
    requires_elevation: Annotated[bool, Field(strict=True)] = False
    libraries: tuple[str, ...] = ()

    def document(self) -> dict[str, object]:
        """The canonical document: `parse_script` gives this script back for it."""
        raise NotImplementedError


def parse_script(document: object) -> tuple[Script | None, list[Problem]]:
    """The script, if the document has the right shape, and everything found on the way."""
    raise NotImplementedError
