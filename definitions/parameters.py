"""Parameters of scripts and inputs of workflows: declared, bound, handed over as data.

`bind` decides what was given; `environment` turns bound values into `PARAM_<NAME>`. A value is
never looked at as code here, and a message never repeats one (it may be a secret).
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from definitions.problems import Problem

Value = JsonValue
"""What a variable may hold: JSON."""

ParameterType = Literal["string", "integer", "number", "boolean", "choice", "secret"]
ParameterName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]


class Parameter(BaseModel):
    """One declared parameter (formats page, PARAMETER)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ParameterName
    type: ParameterType = "string"
    required: Annotated[bool, Field(strict=True)] = False
    default: Value = None
    choices: tuple[Value, ...] = ()
    description: str = ""


def bind(
    parameters: Sequence[Parameter], given: Mapping[str, object], pointer: str
) -> tuple[dict[str, Value], list[Problem]]:
    """The value of every parameter, and everything that is wrong with what was given."""
    raise NotImplementedError


def environment(parameters: Sequence[Parameter], values: Mapping[str, Value]) -> dict[str, str]:
    """`PARAM_<NAME>` for every bound value that is set."""
    raise NotImplementedError
