"""From a definition to the payload a host gets."""

from collections.abc import Mapping, Sequence

from agent.payloads import CommandPayload, ScriptPayload
from definitions.errors import Invalid
from definitions.library import Library
from definitions.parameters import Value, environment
from definitions.prepending import prepend
from definitions.script import Script
from definitions.secret_values import by_variable
from definitions.variables import Shell

DEFAULT_TIMEOUT_SECONDS = 300


def script_payload(
    script: Script,
    values: Mapping[str, Value],
    *,
    libraries: Sequence[Library] = (),
    timeout_seconds: int | None = None,
) -> ScriptPayload:
    """The payload of a script with its bound parameter values, its libraries in front of it.

    Of secret values it has the names; the values are `secret_values.by_variable`, to be sealed.
    """
    if script.run_as is not None:
        raise Invalid(f"The script {script.name} runs as {script.run_as}, and run_as is not available yet.")
    return ScriptPayload(
        language=script.language,
        content=prepend(script.language, script.content, _contents(script, libraries)),
        environment=environment(script.parameters, values),
        secrets=list(by_variable(script.parameters, values)),
        timeout_seconds=timeout_seconds or script.timeout_seconds,
        requires_elevation=script.requires_elevation,
    )


def _contents(script: Script, libraries: Sequence[Library]) -> list[str]:
    by_name = {library.name: library for library in libraries}
    contents: list[str] = []
    for name in script.libraries:
        library = by_name.get(name)
        if library is None:
            raise Invalid(f"The script {script.name} needs the library {name}, which is not there.")
        if library.language != script.language:
            raise Invalid(f"The library {name} is {library.language}, the script {script.name} is not.")
        contents.append(library.content)
    return contents


def command_payload(
    text: str, environment: Mapping[str, str], shell: Shell | None, timeout_seconds: int | None = None
) -> CommandPayload:
    """The payload of a bound command."""
    return CommandPayload(
        command=text,
        shell=shell,
        environment=dict(environment),
        timeout_seconds=timeout_seconds or DEFAULT_TIMEOUT_SECONDS,
    )
