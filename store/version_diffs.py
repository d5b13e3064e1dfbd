"""What changed from one version of a script or library to another. Reads nothing by itself."""

import difflib
import json

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
    """Unified diff of the content; empty: the same."""


def compare(old: int, before: Script | Library, new: int, after: Script | Library) -> VersionDiff:
    """The difference of two versions."""
    names = (f"version {old}", f"version {new}")
    return VersionDiff(
        old=old,
        new=new,
        settings=unified(_settings(before), _settings(after), *names),
        content=unified(before.content, after.content, *names),
    )


def _settings(definition: Script | Library) -> str:
    values = definition.model_dump(mode="json", exclude={"name", "content"})
    return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False)


def unified(before: str, after: str, old: str, new: str) -> str:
    """The unified diff of two texts; `old` and `new` name them. Empty: they are the same."""
    # By line feeds alone: a carriage return that came or went is a difference too.
    lines = difflib.unified_diff(before.split("\n"), after.split("\n"), old, new, lineterm="")
    return "\n".join(lines)
