"""From a part of a document to a model: what pydantic finds wrong, said in our words.

Pydantic's own messages never leave this module, and neither does what was written: it could be
a secret in the wrong place.
"""

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from agent.payloads import OWN_WORDS
from definitions.nearest import nearest, pointer_to
from definitions.problems import Problem

M = TypeVar("M", bound=BaseModel)
MAX_DEPTH = 40
ROOT = ""


def kind_of(value: object) -> str:
    """What a value of a document is, in words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, list | tuple):
        return "a list"
    return "an object" if isinstance(value, dict) else "a date or another type that JSON does not have"


def not_json(document: object, pointer: str = ROOT) -> list[Problem]:
    """What in a document could not be stored as JSON: odd keys and types, NUL, NaN, endless depth."""
    problems: list[Problem] = []
    waiting: list[tuple[object, str, int]] = [(document, pointer, 0)]
    while waiting:
        value, where, depth = waiting.pop()
        fault = _fault(value, depth)
        if fault is not None:
            problems.append(Problem(pointer=where, code="not-json", message=fault[0], fix=fault[1]))
        elif isinstance(value, dict):
            waiting += [(inner, pointer_to(where, str(key)), depth + 1) for key, inner in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [(inner, pointer_to(where, index), depth + 1) for index, inner in enumerate(value)]
    return problems


def _fault(value: object, depth: int) -> tuple[str, str] | None:
    if depth > MAX_DEPTH:
        return f"This is nested deeper than {MAX_DEPTH} levels.", "Flatten it."
    if isinstance(value, dict):
        if any(not isinstance(key, str) or _odd(key) for key in value):
            return (
                "A key here is not a plain text.",
                "Write keys in quotes (YAML reads `on` and `1` otherwise).",
            )
        return None
    if isinstance(value, str):
        if not _odd(value):
            return None
        return "This text holds a NUL or half a surrogate pair.", "Remove the character."
    if isinstance(value, float) and not math.isfinite(value):
        return "This number is not finite.", "Write a finite number."
    if isinstance(value, int) and abs(value) >= 2**63:
        return "This number is too large.", "Write it as a text, in quotes."
    if value is None or isinstance(value, bool | int | float | list | tuple):
        return None
    return f"This is {kind_of(value)}.", "Write it as a text, in quotes."


def _odd(text: str) -> bool:
    return "\x00" in text or any("\ud800" <= char <= "\udfff" for char in text)


def read(
    model: type[M], document: object, pointer: str, noun: str, places: Mapping[str, str] | None = None
) -> tuple[M | None, list[Problem]]:
    """The model, if the document fits it, and every problem.

    `places` says where a field really stands, when the document was rearranged before.
    """
    if not isinstance(document, dict):
        message = f"{an(noun)} is an object with named fields, not {kind_of(document)}."
        return None, [_problem(pointer, "wrong-type", message, f"Write the {noun} as `name: value` pairs.")]
    known = list(model.model_fields)
    problems = [
        unknown_key(key, known, _place(pointer, key, places), noun) for key in document if key not in known
    ]
    fields = {key: value for key, value in document.items() if key in known}
    try:
        return model.model_validate(fields), problems
    except ValidationError as error:
        found: dict[tuple[int | str, ...], list[dict[str, Any]]] = {}
        for detail in error.errors(include_url=False):
            if detail["type"] == "too_short" and detail["input"]:
                continue  # only because members of the list were dropped, each with its own problem
            found.setdefault(_path(fields, detail["loc"]), []).append(dict(detail))
        for path, details in found.items():
            where = _place(pointer, str(path[0]), places, *path[1:])
            problems.append(_say(where, str(path[-1]), details, noun))
        return None, problems


def unknown_key(key: str, known: list[str], pointer: str, noun: str) -> Problem:
    """The problem of a key that is none of ours."""
    fix = nearest(key, known) or f"Known: {', '.join(known)}."
    return _problem(pointer, "unknown-key", f"{an(noun)} has no field `{key}`.", fix)


def _place(pointer: str, key: str, places: Mapping[str, str] | None, *rest: str | int) -> str:
    start = (places or {}).get(key, pointer_to(pointer, key))
    return pointer_to(start, *rest)


def _path(document: object, loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The part of pydantic's location that is in the document: it also names members of unions."""
    path: list[int | str] = []
    for part in loc:
        if isinstance(document, dict) and (part in document or not path):
            document = document.get(part)
        elif isinstance(document, list) and isinstance(part, int):
            document = document[part]
        else:
            continue
        path.append(part)
    return tuple(path)


_WANTED = {
    "string_type": ("a text", "Write it in quotes."),
    "int_type": ("a whole number", "Write a whole number, without quotes."),
    "float_type": ("a number", "Write a number, without quotes."),
    "bool_type": ("true or false", "Write true or false, without quotes."),
    "tuple_type": ("a list", "Write a list, even for one entry."),
    "list_type": ("a list", "Write a list, even for one entry."),
    "dict_type": ("an object", "Write `name: value` pairs."),
}
_LIMITS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_PATTERNS = {
    "environment": (
        "A name here is `PARAM_NAME` or `OPSGATE_V1`: a host's own variables are not to be set.",
        "Write for example `PARAM_LIMIT`.",
    ),
    "approvers": (
        "An approver is `role:NAME`, `user:ID`, `user:NAME`, or a person's name or e-mail address.",
        "Write for example `role:admin` or `user:5`.",
    ),
    "name": (
        "A name here has letters, digits, `_` and `-`, starts with a letter or `_`, and is at most 64 long.",
        "Choose another name.",
    ),
}
_IDENTIFIER = (
    "This has letters, digits, `_` and `-`, starts with a letter, and is at most 64 long.",
    "Write a name of that form.",
)


def _say(where: str, key: str, details: list[dict[str, Any]], noun: str) -> Problem:
    """One sentence for what every member of the field's union has against the value."""
    other = [detail for detail in details if detail["type"] not in _WANTED]
    if not other:
        details = [detail for detail in details if detail["type"] != "int_type"] or details
        wanted = " or ".join(dict.fromkeys(_WANTED[detail["type"]][0] for detail in details))
        message = f"`{key}` must be {wanted}, not {kind_of(details[0]['input'])}."
        return _problem(where, "wrong-type", message, _WANTED[details[-1]["type"]][1])
    detail = other[0]
    kind: str = detail["type"]
    context: dict[str, Any] = detail.get("ctx", {})
    if kind == OWN_WORDS:
        return _problem(where, "bad-form", context["message"], context["fix"])
    if kind == "missing":
        return _problem(where, "missing-field", f"{an(noun)} needs the field `{key}`.", f"Add `{key}`.")
    if kind in _LIMITS:
        name, words = _LIMITS[kind]
        limit = f"{words} {context[name]:g}"
        return _problem(
            where, "out-of-range", f"`{key}` must be {limit}.", f"Write a number that is {limit}."
        )
    if kind == "literal_error":
        choices = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
        hint = nearest(detail["input"], choices) if isinstance(detail["input"], str) else ""
        message = f"`{key}` must be one of {', '.join(choices)}."
        return _problem(where, "unknown-word", message, hint or "Choose one of them.")
    if kind == "string_pattern_mismatch":
        return _problem(where, "bad-form", *_PATTERNS.get(str(detail["loc"][0]), _IDENTIFIER))
    if kind in ("string_too_short", "too_short"):
        return _problem(where, "empty", f"`{key}` must not be empty.", "Fill it in.")
    if kind in ("string_too_long", "too_long"):
        most = context["max_length"]
        return _problem(
            where, "too-long", f"`{key}` is longer than {most}.", f"Shorten it to {most} or less."
        )
    return _problem(
        where, "bad-form", f"`{key}` has a form that does not fit.", f"See what a {noun} may say there."
    )


def _problem(pointer: str, code: str, message: str, fix: str) -> Problem:
    return Problem(pointer=pointer, code=code, message=message, fix=fix)


def an(noun: str) -> str:
    """The noun after its article, at the beginning of a sentence."""
    return f"{'An' if noun[0] in 'aeiou' else 'A'} {noun}"
