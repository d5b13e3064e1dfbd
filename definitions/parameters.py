"""Parameters of scripts and inputs of workflows: declared, bound, handed over as data.

`bind` decides what was given; `environment` turns bound values into `PARAM_<NAME>`, all but secret
ones (`definitions.secret_values`). A value is never looked at as code here, and a message never
repeats one (it may be a secret).
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from agent.payloads import MAX_VALUE_BYTES
from definitions.errors import Invalid
from definitions.nearest import nearest, pointer_to
from definitions.problems import Problem

Value = JsonValue
"""What a variable may hold: JSON."""

ParameterType = Literal["string", "integer", "number", "boolean", "choice", "secret"]
ParameterName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]
LARGEST_INTEGER = 2**63 - 1
"""What the integers of PostgreSQL, PowerShell and CEL hold."""


class Parameter(BaseModel):
    """One declared parameter (formats page, PARAMETER)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ParameterName
    type: ParameterType = "string"
    required: Annotated[bool, Field(strict=True)] = False
    default: Value = None
    choices: tuple[Value, ...] = ()
    description: str = ""


class Unfit(Exception):
    """A value does not fit its type; the text says what is wanted, never what was given."""


def text_of(value: Value) -> str:
    """A value as text: what an embedded template and an environment variable get."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def fault_of(text: str) -> str | None:
    """Why a text can't be handed to a process, or None when it can."""
    if "\x00" in text:
        return "contains a NUL character"
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        return "contains half a surrogate pair, which is not a character"
    if size > MAX_VALUE_BYTES:
        return f"is longer than {MAX_VALUE_BYTES // 1024} KiB"
    return None


def coerce(parameter: Parameter, value: object) -> Value:
    """The value as the parameter's type; raises `Unfit`."""
    fitted = _COERCE[parameter.type](parameter, value)
    fault = fault_of(text_of(fitted))
    if fault is not None:
        raise Unfit(f"{fault}.")
    return fitted


def _string(parameter: Parameter, value: object) -> Value:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return text_of(value)
    raise Unfit("must be a text.")


def _integer(parameter: Parameter, value: object) -> Value:
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,19}", value.strip(), re.ASCII):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_INTEGER:
        return value
    raise Unfit("must be a whole number.")


_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)


def _number(parameter: Parameter, value: object) -> Value:
    if isinstance(value, str) and len(value) < 100 and _NUMBER.fullmatch(value.strip()):
        text = value.strip()
        value = int(text) if re.fullmatch(r"[+-]?[0-9]{1,19}", text) else float(text)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_INTEGER:
        return value
    raise Unfit("must be a number.")


def _boolean(parameter: Parameter, value: object) -> Value:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise Unfit("must be true or false.")


def _choice(parameter: Parameter, value: object) -> Value:
    for choice in parameter.choices:
        if type(choice) is type(value) and choice == value:
            return choice
    if isinstance(value, str | bool | int | float):
        for choice in parameter.choices:
            if text_of(choice) == text_of(value):
                return choice
    raise Unfit(f"must be one of {', '.join(text_of(choice) for choice in parameter.choices)}.")


_COERCE = {
    "string": _string,
    "secret": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "choice": _choice,
}


def bind(
    parameters: Sequence[Parameter], given: Mapping[str, object], pointer: str
) -> tuple[dict[str, Value], list[Problem]]:
    """The value of every parameter, and everything that is wrong with what was given.

    None counts as not given; a parameter without value and default is None.
    """
    problems = unknown_names(parameters, given, pointer)
    values: dict[str, Value] = {}
    for parameter in parameters:
        value = given.get(parameter.name)
        where = pointer_to(pointer, parameter.name)
        if value is None:
            value = parameter.default
        if value is None:
            values[parameter.name] = None
            if parameter.required:
                problems.append(missing(parameter, where))
            continue
        try:
            values[parameter.name] = coerce(parameter, value)
        except Unfit as unfit:
            message = f"`{parameter.name}` {unfit}"
            problems.append(
                Problem(pointer=where, code="bad-value", message=message, fix="Give another value.")
            )
    return values, problems


def bound(
    parameters: Sequence[Parameter], given: Mapping[str, object], what: str, owner: str
) -> dict[str, Value]:
    """The value of every parameter, or `Invalid` with everything that is wrong. `what` they are called by
    who gives them, parameters or inputs, and whose they are."""
    values, problems = bind(parameters, given, f"/{what}")
    if problems:
        raise Invalid(f"The {what} of {owner!r} are not valid.", problems)
    return values


def unknown_names(
    parameters: Sequence[Parameter], given: Mapping[str, object], pointer: str
) -> list[Problem]:
    """A problem for every given name that no parameter has."""
    known = [parameter.name for parameter in parameters]
    return [
        Problem(
            pointer=pointer_to(pointer, name),
            code="unknown-parameter",
            message=f"There is no parameter `{name}`.",
            fix=nearest(name, known)
            or (f"Known: {', '.join(known)}." if known else "Remove it: there are none."),
        )
        for name in given
        if name not in known
    ]


def missing(parameter: Parameter, pointer: str) -> Problem:
    """The problem of a required parameter that was not given."""
    return Problem(
        pointer=pointer,
        code="missing-parameter",
        message=f"`{parameter.name}` is required.",
        fix=f"Give `{parameter.name}` a value of type {parameter.type}.",
    )


def variable_of(parameter: Parameter) -> str:
    """The variable a script finds the parameter in; of a secret one, where it can be read."""
    name = "PARAM_" + re.sub(r"[^A-Z0-9]", "_", parameter.name.upper())
    return f"{name}_FILE" if parameter.type == "secret" else name


def environment(parameters: Sequence[Parameter], values: Mapping[str, Value]) -> dict[str, str]:
    """`PARAM_<NAME>` for every bound value that is set and no secret: those are in no environment."""
    variables: dict[str, str] = {}
    for parameter in parameters:
        value = values.get(parameter.name)
        if value is None or parameter.type == "secret":
            continue
        text = text_of(value)
        fault = fault_of(text)
        if fault is not None:
            raise Invalid(f"The value of `{parameter.name}` {fault}.")
        variables[variable_of(parameter)] = text
    return variables
