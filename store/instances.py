"""Instances: start one, look at it, cancel it.

The engine's own moves (lease, frontier, results) are in `store.engine`, never here.
"""

from collections.abc import Mapping, Sequence

from definitions.permissions import Actor
from store.connection import Database
from store.instance_views import InstanceRow, InstanceView
from store.pages import Page


async def start(
    db: Database,
    actor: Actor,
    workflow_ref: int | str,
    hosts: Sequence[int | str],
    inputs: Mapping[str, object],
) -> InstanceView:
    """Start the published version of a workflow on some hosts."""
    raise NotImplementedError


async def show(db: Database, actor: Actor, instance_id: int) -> InstanceView:
    """Everything about one instance."""
    raise NotImplementedError


async def listing(
    db: Database,
    actor: Actor,
    *,
    status: Sequence[str] = (),
    workflow: int | str | None = None,
    limit: int = 50,
    after: str | None = None,
) -> Page[InstanceRow]:
    """Instances, the newest first."""
    raise NotImplementedError


async def cancel(db: Database, actor: Actor, instance_id: int, reason: str = "") -> InstanceView:
    """Ask for an instance to end: its jobs are cancelled, its open requests withdrawn."""
    raise NotImplementedError
