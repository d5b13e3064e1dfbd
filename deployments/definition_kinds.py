"""The kinds of definition that are applied and exported: how one is read, and where the server has it.

A further kind is one row of `KINDS`. Judges nothing itself (that is `definitions`), reads no file.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from definitions.examination import examine
from definitions.identity import Identity, parse_identity
from definitions.library import Library, parse_library
from definitions.problems import Problem
from definitions.recurring_job import RecurringJob, read_recurring_job
from definitions.script import Script, parse_script
from definitions.vault import Vault, parse_vault
from definitions.workflow import Workflow, parse

Definition = Vault | Identity | Library | Script | Workflow | RecurringJob
Reader = Callable[[object], tuple[Definition | None, list[Problem]]]


@dataclass(frozen=True)
class Kind:
    """One kind of definition."""

    name: str
    path: str
    """Under /api/v1; without the slash, the folder of an export."""
    read: Reader
    """The model of a document that has the right shape: two documents of equal models say the same."""
    check: Reader
    """As `read`, with every problem that can be seen without a server."""
    document_in: str
    """The field of the server's answer that holds the document."""
    published: bool = False
    """Whether it is saved as a draft first, and published."""


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("vault", "/vaults", parse_vault, parse_vault, "definition"),
        Kind("identity", "/identities", parse_identity, parse_identity, "definition"),
        Kind("library", "/libraries", parse_library, parse_library, "definition"),
        Kind("script", "/scripts", parse_script, parse_script, "definition"),
        Kind("workflow", "/workflows", parse, examine, "draft", published=True),
        Kind("recurring_job", "/recurring-jobs", read_recurring_job, read_recurring_job, "definition"),
    )
}
"""In the order in which they must be applied: what is named before what names it."""

EXTENSIONS = {"bash": ".sh", "python": ".py", "powershell": ".ps1"}
"""Of the file that holds a text in this language."""


def script_ids(document: object) -> Iterator[int]:
    """The ids by which a workflow's document, right or wrong, names scripts."""
    for fields in _script_fields(document):
        for key in ("script", "script_id"):
            value = fields.get(key)
            if isinstance(value, int) and not isinstance(value, bool):
                yield value


def by_name(document: dict[str, Any], names: Mapping[int, str]) -> dict[str, Any]:
    """A workflow's document with its scripts named by name, as far as their ids are known: ids are one
    server's own."""
    copy: dict[str, Any] = _copied(document)
    for fields in _script_fields(copy):
        for key in ("script", "script_id"):
            value = fields.get(key)
            if isinstance(value, int) and not isinstance(value, bool) and value in names:
                del fields[key]
                fields["script"] = names[value]
    return copy


def _script_fields(document: object) -> Iterator[dict[str, Any]]:
    """The objects in which script steps name their script: the step itself and its `config`."""
    steps = document.get("steps") if isinstance(document, dict) else None
    for step in steps if isinstance(steps, list) else []:
        if not isinstance(step, dict):
            continue
        config = step.get("config")
        places = [step, config] if isinstance(config, dict) else [step]
        if step.get("type") == "script":
            yield from places
        for place in places:
            branches = place.get("branches")
            for branch in branches if isinstance(branches, list) else []:
                yield from _script_fields(branch)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value
