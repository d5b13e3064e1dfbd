"""From a definition to the payload a host gets."""

from collections.abc import Mapping, Sequence

from agent.payloads import CommandPayload, ScriptPayload
from definitions.library import Library
from definitions.parameters import Value
from definitions.script import Script
from definitions.variables import Shell


def script_payload(
    script: Script,
    values: Mapping[str, Value],
    *,
    libraries: Sequence[Library] = (),
    timeout_seconds: int | None = None,
) -> ScriptPayload:
    """The payload of a script with its bound parameter values."""
    raise NotImplementedError


def command_payload(
    text: str, environment: Mapping[str, str], shell: Shell | None, timeout_seconds: int | None = None
) -> CommandPayload:
    """The payload of a bound command."""
    raise NotImplementedError
