"""What changed from one version of a script, library or workflow to another. Reads nothing by itself."""

import difflib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from definitions.library import Library
from definitions.script import Script


class VersionDiff(BaseModel):
    """What changed from one version to another."""

    model_config = ConfigDict(frozen=True)

    old: int
    new: int
    settings: str
    """Unified diff of everything but the content, as JSON lines; empty: the same."""
    content: str
    """Unified diff of the content, which of a workflow are its steps as JSON lines; empty: the same."""


Compared = Script | Library | Mapping[str, Any]
"""A workflow is compared as its document."""


def compare(old: int, before: Compared, new: int, after: Compared) -> VersionDiff:
    """The difference of two versions."""
    return VersionDiff(old=old, new=new, **between(before, after, f"version {old}", f"version {new}"))


def between(before: Compared, after: Compared, old: str, new: str) -> dict[str, str]:
    """The difference of two definitions by their names: `settings` and `content`."""
    (settings, content), (new_settings, new_content) = _parts(before), _parts(after)
    return {
        "settings": unified(settings, new_settings, old, new),
        "content": unified(content, new_content, old, new),
    }


def _parts(definition: Compared) -> tuple[str, str]:
    if isinstance(definition, Mapping):
        rest = {key: value for key, value in definition.items() if key not in ("kind", "steps")}
        return _lines(rest), _lines(definition.get("steps", []))
    return _lines(definition.model_dump(mode="json", exclude={"name", "content"})), definition.content


def _lines(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


def unified(before: str, after: str, old: str, new: str) -> str:
    """The unified diff of two texts; `old` and `new` name them. Empty: they are the same."""
    # By line feeds alone: a carriage return that came or went is a difference too.
    lines = difflib.unified_diff(before.split("\n"), after.split("\n"), old, new, lineterm="")
    return "\n".join(lines)
