"""From a definition to the payload a host gets."""

from collections.abc import Mapping, Sequence

from agent.payloads import CommandPayload, ScriptPayload
from definitions.errors import Invalid
from definitions.library import Library, unfit_links
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
    problems = list(unfit_links(script, {library.name: library.language for library in libraries}))
    if problems:
        raise Invalid(f"The script {script.name!r} can't be run. {problems[0].message}", problems)
    by_name = {library.name: library.content for library in libraries}
    return ScriptPayload(
        language=script.language,
        content=prepend(script.language, script.content, [by_name[name] for name in script.libraries]),
        environment=environment(script.parameters, values),
        secrets=list(by_variable(script.parameters, values)),
        timeout_seconds=timeout_seconds or script.timeout_seconds,
        requires_elevation=script.requires_elevation,
    )


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
