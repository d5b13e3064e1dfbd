"""References resolved: to values, or bound to a command's environment.

One pass: what a reference resolves to is never scanned again. Values stay data: nothing here puts a
value into a text that will be run (`bind_command` binds names). Of an identity only `username`,
`credential_type` and `domain` are ever given; every other property, and the whole of it, is the marker.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict

from definitions.bash_positions import bash_positions
from definitions.errors import Invalid
from definitions.parameters import Value, fault_of, text_of
from definitions.powershell_positions import powershell_positions
from definitions.problems import Problem
from definitions.reading import not_json
from definitions.references import REFERENCE, RESERVED_ROOTS, Reference, references, whole
from definitions.shell_positions import Place

__all__ = [
    "ALLOWED",
    "BLOCKED",
    "STREAMS",
    "BoundCommand",
    "CheckoutFacts",
    "HostFacts",
    "Reference",
    "Scope",
    "StepFacts",
    "Stream",
    "Unresolved",
    "beginnings",
    "bind_command",
    "checkout_over",
    "identities_of",
    "is_blocked",
    "lint_command",
    "references",
    "resolve",
    "resolve_run_as",
    "resolve_text",
    "scope",
]

Shell = Literal["bash", "powershell"]
Stream = Literal["stdout", "stderr"]
STREAMS: tuple[Stream, ...] = ("stdout", "stderr")
BLOCKED = "***CREDENTIAL_BLOCKED***"
ALLOWED = ("username", "credential_type", "domain")
"""The properties of an identity that are no secret."""
INDEX = re.compile(r"[0-9]{1,9}")
PROPERTIES = ("stdout", "stderr", "exit_code", "json")
"""What a step leaves on a host."""


class HostFacts(BaseModel):
    """What a step's job left on one host."""

    model_config = ConfigDict(frozen=True)

    host: str
    stdout: str = ""
    stderr: str = ""
    exit_code: int | None = None
    truncated: dict[Stream, int] = {}
    """The streams of which only the beginning is here, as the job printed more: how many bytes that is."""


class CheckoutFacts(BaseModel):
    """What a checkout leaves for later steps: which session, of whom, and where its credential lies. Never
    the credential."""

    model_config = ConfigDict(frozen=True)

    id: int
    """Of the session."""
    names: tuple[str, ...]
    """What references call it: the step's variable, and last the identity's name."""
    vault: str
    path: str
    """In that vault."""
    username: str
    credential_type: str
    domain: str | None = None


class StepFacts(BaseModel):
    """What a step left, its hosts in target order; stored with the step's result."""

    model_config = ConfigDict(frozen=True)

    hosts: tuple[HostFacts, ...] = ()
    checkout: CheckoutFacts | None = None

    @property
    def exit_code(self) -> int | None:
        """The first that is not 0; None if one has none, as when nothing ran."""
        codes = [host.exit_code for host in self.hosts]
        failed = [code for code in codes if code]
        if failed:
            return failed[0]
        return 0 if codes and None not in codes else None


@dataclass(frozen=True)
class Scope:
    """Everything a reference may refer to."""

    inputs: Mapping[str, Value]
    instance: Mapping[str, Value]
    results: Mapping[str, StepFacts | None]
    """By step id; None or missing: the step never ran."""
    identities: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    """Those that were checked out, by both their names; they can still be read once they are checked in."""
    over: Mapping[str, str] = field(default_factory=dict)
    """Those of them that nothing runs as any more: why."""


class Unresolved(Invalid):
    """A reference has no value."""

    title = "A reference has no value"

    def __init__(self, reference: str, message: str) -> None:
        super().__init__(message)
        self.reference = reference


def identities_of(results: Iterable[StepFacts | None]) -> dict[str, Mapping[str, Value]]:
    """The identities that steps have checked out, each under both its names, of results in the order in
    which they ended: of two with one name the later counts."""
    found: dict[str, Mapping[str, Value]] = {}
    for facts in results:
        if facts is not None and facts.checkout is not None:
            readable = facts.checkout.model_dump(include={*ALLOWED})
            found |= dict.fromkeys(facts.checkout.names, readable)
    return found


@dataclass(frozen=True)
class BoundCommand:
    """A command whose values stand in the environment."""

    text: str
    environment: dict[str, str]


def scope(
    *,
    inputs: Mapping[str, Value],
    instance: Mapping[str, Value],
    results: Mapping[str, StepFacts | None],
    identities: Mapping[str, Mapping[str, Value]] | None = None,
    over: Mapping[str, str] | None = None,
) -> Scope:
    """What the references of one instance may refer to now."""
    return Scope(inputs, instance, results, identities or {}, over or {})


def resolve(template: Value, scope: Scope) -> Value:
    """The template with every reference replaced; raises `Unresolved`.

    A template that is one reference and nothing else keeps the value's type.
    """
    if isinstance(template, list):
        return [resolve(item, scope) for item in template]
    if isinstance(template, dict):
        return {key: resolve(item, scope) for key, item in template.items()}
    if not isinstance(template, str):
        return template
    only = whole(template)
    if only is not None:
        return value_of(only, scope)
    values = iter(references(template))
    return REFERENCE.sub(lambda _: text_of(value_of(next(values), scope)), template)


def resolve_text(template: str, scope: Scope) -> str:
    """The same as text, whatever type the value of a whole template has."""
    return text_of(resolve(template, scope))


def resolve_run_as(template: str, scope: Scope) -> str:
    """The name of the identity that a step runs as: here, and only here, a whole identity stands for its
    name. Raises `Unresolved` for anything else, and when it is not checked out any more."""
    reference = whole(template)
    if reference is None or len(reference.path) != 1:
        message = "`run_as` names an identity that was checked out, as {{NAME}}, and nothing else."
        raise Unresolved(template, message)
    root = reference.root
    if root in RESERVED_ROOTS or reference.step_id is not None or root not in scope.identities:
        raise _unresolved(reference, "no identity of that name is checked out")
    if root in scope.over:
        raise Unresolved(reference.text, checkout_over(root, scope.over[root]))
    return root


def checkout_over(name: str, why: str) -> str:
    """What is said to whom wants to run as an identity that is not checked out any more."""
    return f"Nothing runs as `{name}` any more, its checkout has ended: {why}"


def value_of(reference: Reference, scope: Scope, *, decides: bool = False) -> Value:
    """What one reference stands for; raises `Unresolved`. `decides`: something hangs on what the value is,
    so that a beginning will not do for the whole."""
    root, rest = reference.root, reference.path[1:]
    if root == "inputs" or root == "instance":
        known = scope.inputs if root == "inputs" else scope.instance
        if len(rest) != 1 or rest[0] not in known:
            raise _unresolved(reference, f"there is no such value in `{root}`")
        return known[rest[0]]
    if reference.step_id is not None:
        return _of_step(reference, scope.results.get(reference.step_id) or StepFacts(), decides)
    if root in RESERVED_ROOTS or root not in scope.identities:
        raise _unresolved(reference, f"nothing is known as `{root}`")
    return BLOCKED if is_blocked(reference) else scope.identities[root].get(rest[0])


def is_blocked(reference: Reference) -> bool:
    """Whether a reference gives the marker and no value ever, if its root is an identity."""
    return len(reference.path) != 2 or reference.path[1] not in ALLOWED


def _of_step(reference: Reference, facts: StepFacts, decides: bool) -> Value:
    host, rest = _on_host(reference, facts)
    for stream in host.truncated:
        if (decides and rest == (stream,)) or (rest[:1] == ("json",) and stream == "stdout"):
            raise _unresolved(reference, f"{_cut(host, stream)}, and nothing is decided by a beginning")
    named = reference.path[1:2] == ("hosts",)
    return _property(reference, rest, host, host.exit_code if named else facts.exit_code)


def _on_host(reference: Reference, facts: StepFacts) -> tuple[HostFacts, tuple[str, ...]]:
    """The host a reference speaks of, the first if it names none, and which property of it."""
    if reference.path[1:2] == ("hosts",):
        return _split_host(reference, facts)
    return facts.hosts[0] if facts.hosts else HostFacts(host=""), reference.path[1:]


def _cut(host: HostFacts, stream: Stream) -> str:
    """What is said of a stream of which only the beginning is here."""
    kept = host.truncated[stream]
    size = f"{kept // 1024} KiB" if kept >= 1024 else f"{kept} bytes"
    return f"{host.host} printed more than {size} to {stream}, of which later steps have the beginning alone"


def beginnings(texts: Iterable[str], scope: Scope) -> list[str]:
    """A sentence for each reference in the texts whose value is only the beginning of what was printed."""
    found: dict[tuple[str, ...], str] = {}
    for reference in (each for text in texts for each in references(text)):
        if reference.step_id is None:
            continue
        try:
            host, rest = _on_host(reference, scope.results.get(reference.step_id) or StepFacts())
        except Unresolved:
            continue  # whoever resolves it says so
        for stream in host.truncated:
            if rest == (stream,):
                found[reference.path] = f"{reference.text} is not the whole: {_cut(host, stream)}."
    return list(found.values())


def _split_host(reference: Reference, facts: StepFacts) -> tuple[HostFacts, tuple[str, ...]]:
    """The host a reference names, whose name may have dots, and what is left of the path."""
    rest = reference.path[2:]
    by_name = {host.host: host for host in facts.hosts}
    for length in range(len(rest) - 1, 0, -1):
        name = ".".join(rest[:length])
        if name in by_name and rest[length] in PROPERTIES:
            return by_name[name], rest[length:]
    if not facts.hosts and len(rest) > 1:
        at = next((index for index, part in enumerate(rest) if index and part in PROPERTIES), None)
        if at is not None:
            return HostFacts(host=""), rest[at:]
    raise _unresolved(reference, "the step did not run on a host of that name")


def _property(reference: Reference, rest: tuple[str, ...], host: HostFacts, exit_code: int | None) -> Value:
    if rest == ("stdout",):
        return host.stdout.rstrip("\r\n")
    if rest == ("stderr",):
        return host.stderr.rstrip("\r\n")
    if rest == ("exit_code",):
        return exit_code
    if rest[:1] == ("json",):
        return _inside(reference, _parsed(reference, host.stdout), rest[1:])
    raise _unresolved(reference, "a step has `stdout`, `stderr`, `exit_code`, `json.KEY` and `hosts.NAME`")


def _parsed(reference: Reference, stdout: str) -> Value:
    def refuse(_: str) -> Value:
        raise ValueError

    try:
        value: Value = json.loads(stdout, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise _unresolved(reference, "the step's output is not JSON") from None
    return value


def _inside(reference: Reference, value: Value, path: tuple[str, ...]) -> Value:
    for part in path:
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and INDEX.fullmatch(part) and int(part) < len(value):
            value = value[int(part)]
        else:
            raise _unresolved(reference, f"the step's JSON has no `{part}` there")
    if not_json(value):
        raise _unresolved(reference, "the step's JSON holds what can't be stored there")
    return value


def _unresolved(reference: Reference, why: str) -> Unresolved:
    return Unresolved(reference.text, f"{reference.text} has no value: {why}.")


def _places(command: str, shell: Shell) -> list[tuple[Reference, Place]]:
    found = references(command)
    if not found:
        return []
    spans = tuple((reference.start, reference.end) for reference in found)
    scan = bash_positions if shell == "bash" else powershell_positions
    return list(zip(found, scan(command, spans), strict=True))


def lint_command(command: str, shell: Shell) -> list[Problem]:
    """Every reference that stands where its value would not be safe as data; the pointer is empty."""
    return [
        Problem(
            pointer="",
            code="unsafe-position",
            message=f"{reference.text} stands {place.reason}; its value would not be safe there.",
            fix="Use a script parameter: run a saved script and give it the value as a parameter.",
        )
        for reference, place in _places(command, shell)
        if place.kind == "refused"
    ]


def bind_command(command: str, shell: Shell, scope: Scope) -> BoundCommand:
    """The command with its references bound to `OPSGATE_V<n>`; raises `Unresolved` or `Invalid`."""
    problems = lint_command(command, shell)
    if problems:
        raise Invalid(problems[0].message, problems)
    names: dict[tuple[str, ...], str] = {}
    environment: dict[str, str] = {}
    pieces: list[str] = []
    done = 0
    for reference, place in _places(command, shell):
        name = names.setdefault(reference.path, f"OPSGATE_V{len(names) + 1}")
        if name not in environment:
            environment[name] = _bindable(reference, scope)
        follows = command[reference.end : reference.end + 1]
        pieces += [command[done : reference.start], _variable(name, shell, place, follows)]
        done = reference.end
    return BoundCommand("".join([*pieces, command[done:]]), environment)


def _bindable(reference: Reference, scope: Scope) -> str:
    text = text_of(value_of(reference, scope))
    fault = fault_of(text)
    if fault is not None:
        raise Invalid(f"The value of {reference.text} {fault}.")
    return text


def _variable(name: str, shell: Shell, place: Place, follows: str) -> str:
    if shell == "bash":
        return f'"${{{name}}}"' if place.kind == "bare" else f"${{{name}}}"
    joins = place.kind == "double" and (follows in ("{", ":", "_", "?") or follows.isalnum())
    return f"${{env:{name}}}" if joins else f"$env:{name}"
