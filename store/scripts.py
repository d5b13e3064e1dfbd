"""Scripts: versioned text with declared parameters, run on hosts as jobs."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from definitions.permissions import Actor
from definitions.script import Script
from store.connection import Database, Tx
from store.pages import Page


class ScriptView(BaseModel):
    """A script at one version."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    version: int
    newest_version: int
    definition: Script
    archived: bool
    created_at: datetime
    """Of this version."""
    created_by_name: str | None


class ScriptRow(BaseModel):
    """One line of the list of scripts, or of a script's versions."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    version: int
    language: str
    archived: bool
    created_at: datetime
    created_by_name: str | None


async def save(db: Database, actor: Actor, script: Script, ref: int | str | None = None) -> ScriptView:
    """Create a script (no reference), or add a version to one if it changed."""
    raise NotImplementedError


async def put(db: Database, actor: Actor, script: Script) -> tuple[ScriptView, bool]:
    """Make the script of this name be this; says whether anything changed."""
    raise NotImplementedError


async def load_version(tx: Tx | Database, script_id: int, version: int) -> Script:
    """A script as it was at a version, for the engine."""
    raise NotImplementedError


async def show(db: Database, actor: Actor, ref: int | str, version: int | None = None) -> ScriptView:
    """One script, by id or name; the newest version unless another is asked for."""
    raise NotImplementedError


async def listing(
    db: Database, actor: Actor, *, limit: int = 50, after: str | None = None, archived: bool = False
) -> Page[ScriptRow]:
    """Scripts, the newest first."""
    raise NotImplementedError


async def versions(db: Database, actor: Actor, ref: int | str) -> list[ScriptRow]:
    """A script's versions, the newest first."""
    raise NotImplementedError


async def archive(db: Database, actor: Actor, ref: int | str) -> None:
    """Hide a script; versions that are pinned stay."""
    raise NotImplementedError


async def execute(
    db: Database,
    actor: Actor,
    ref: int | str,
    hosts: Sequence[int | str],
    parameters: Mapping[str, object],
) -> list[int]:
    """Run a script's newest version, one job a host; returns the jobs' ids."""
    raise NotImplementedError
