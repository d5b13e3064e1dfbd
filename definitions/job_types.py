"""The job types of the manual: their priorities, how a payload is read, and which secrets go beside it."""

from collections.abc import Mapping
from typing import Any, get_args

from agent.payloads import JobPayload, Payload, ScriptPayload, UserControlPayload
from definitions.parameters import Parameter, bind
from definitions.problems import Problem, has_errors
from definitions.reading import not_json, read
from definitions.secret_values import SecretValues, by_variable

CRITICAL, HIGH, NORMAL, LOW = range(4)
PRIORITY_NAMES = ("critical", "high", "normal", "low")

PRIORITY: dict[str, int] = {
    "script": NORMAL,
    "command": NORMAL,
    "service_control": CRITICAL,
    "process_control": CRITICAL,
    "network_diagnostic": HIGH,
    "software_install": NORMAL,
    "user_control": CRITICAL,
    "group_control": CRITICAL,
}
"""Agents pick up by priority, then by scheduled time: the lower number first."""

NAMES: tuple[str, ...] = tuple(PRIORITY)
"""Every job type."""

ALWAYS_CRITICAL = frozenset({"service_control", "process_control", "user_control", "group_control"})
"""Types whose priority nobody can lower."""

PAYLOADS: dict[str, type[Payload]] = {
    model.model_fields["type"].default: model for model in get_args(get_args(JobPayload)[0])
}
"""The model of each type's payload."""


def read_payload(type_: str, payload: Mapping[str, Any]) -> tuple[Payload | None, list[Problem]]:
    """The payload of a job of this type, if it fits, and everything found that does not.

    Problems never show what was written: it may be somebody's secret in the wrong place.
    """
    model = PAYLOADS.get(type_)
    if model is None:
        fix = f"Choose from: {', '.join(NAMES)}."
        return None, [
            Problem(pointer="/type", code="unknown-job-type", message="This is not a job type.", fix=fix)
        ]
    odd = not_json(dict(payload), "/payload")
    if odd:
        return None, odd
    made, problems = read(model, {**payload, "type": type_}, "/payload", f"{type_} job")
    if isinstance(made, ScriptPayload) and made.secrets:
        message = "Secret values are taken for a saved script only."
        fix = "Save the script with its secret parameters, and run it."
        problems.append(
            Problem(pointer="/payload/secrets", code="secrets-need-script", message=message, fix=fix)
        )
    if isinstance(made, UserControlPayload) and made.secrets:
        message = "What is secret does not stand in a payload, not by name either."
        fix = "Give `password` in `secrets`, beside the payload."
        problems.append(Problem(pointer="/payload/secrets", code="secrets-beside", message=message, fix=fix))
    return (None if has_errors(problems) else made), problems


PASSWORD_BYTES = 511
"""The longest password that crypt takes."""


def take_secrets(payload: Payload, given: Mapping[str, Any]) -> tuple[Payload, SecretValues, list[Problem]]:
    """The payload with the names of the secret values given beside it, these by variable, to be sealed, and
    every problem. Only a password reset takes one, `password`; without it the host makes one up."""
    resets = isinstance(payload, UserControlPayload) and payload.action == "reset_password"
    parameters = [Parameter(name="password", type="secret")] if resets else []
    values, problems = bind(parameters, given, "/secrets")
    password = values.get("password")
    if isinstance(password, str) and not _may_be_password(password):
        message = f"A password is one line of at most {PASSWORD_BYTES} bytes, without control characters."
        problems.append(
            Problem(
                pointer="/secrets/password", code="bad-password", message=message, fix="Choose another one."
            )
        )
    secrets = by_variable(parameters, values)
    return payload.model_copy(update={"secrets": list(secrets)} if secrets else {}), secrets, problems


def _may_be_password(text: str) -> bool:
    return 0 < len(text.encode("utf-8")) <= PASSWORD_BYTES and text.isprintable()


def fields_of(type_: str) -> dict[str, str]:
    """What a payload of this type may say: each field, and in words what it holds."""
    properties = PAYLOADS[type_].model_json_schema()["properties"]
    return {name: _in_words(schema) for name, schema in properties.items() if name not in _OURS}


def from_words(type_: str, words: Mapping[str, str]) -> dict[str, object]:
    """A payload from texts, as they stand on a command line: numbers, true or false, lists by commas.

    A text that is not of its field's kind stays a text, and is then refused by `read_payload`.
    """
    kinds = fields_of(type_) if type_ in PAYLOADS else {}
    return {name: _from_word(kinds.get(name, ""), word) for name, word in words.items()}


_OURS = ("type", "secrets")
_KINDS = {"integer": "a whole number", "boolean": "true or false", "array": "a list", "object": "an object"}


def _in_words(schema: Mapping[str, Any]) -> str:
    schema = schema.get("anyOf", [schema])[0]  # the other is null
    if "enum" in schema:
        return ", ".join(schema["enum"])
    return _KINDS.get(schema["type"], "a text")


def _from_word(kind: str, word: str) -> object:
    if kind == _KINDS["integer"] and word.isascii() and word.isdigit():
        return int(word)
    if kind == _KINDS["boolean"] and word in ("true", "false"):
        return word == "true"
    return word.split(",") if kind == _KINDS["array"] else word
