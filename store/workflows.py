"""Workflows: drafts that may have problems, and published versions that have been proved."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from definitions.permissions import Actor
from definitions.problems import Problem
from definitions.workflow import Workflow
from store.connection import Database, Tx
from store.pages import Page


class WorkflowRow(BaseModel):
    """One line of the list of workflows."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    description: str
    revision: int
    """Of the draft: rises with every save; the ETag."""
    published_version: int | None
    published_at: datetime | None
    archived: bool
    created_at: datetime


class WorkflowView(WorkflowRow):
    """A workflow with its draft and what is wrong with it."""

    draft: dict[str, Any]
    problems: list[Problem]
    """Of the draft; publishing needs it to have no errors."""
    changed_since_published: bool


class WorkflowVersionView(BaseModel):
    """One published version."""

    model_config = ConfigDict(frozen=True)

    version: int
    definition: dict[str, Any]
    published_by_name: str | None
    published_at: datetime


async def save_draft(
    db: Database,
    actor: Actor,
    document: dict[str, Any],
    workflow_id: int | str | None = None,
    revision: int | None = None,
) -> WorkflowView:
    """Create a workflow (no id), or replace the draft of one whose revision the caller has seen."""
    raise NotImplementedError


async def put(
    db: Database, actor: Actor, document: dict[str, Any], *, publish: bool = False
) -> tuple[WorkflowView, bool]:
    """Make the workflow of this name be this definition; says whether anything changed."""
    raise NotImplementedError


async def validate(db: Database, actor: Actor, document: dict[str, Any]) -> list[Problem]:
    """Every problem of a definition, saved nowhere."""
    raise NotImplementedError


async def publish(
    db: Database, actor: Actor, workflow_ref: int | str, revision: int | None = None
) -> WorkflowView:
    """Prove the draft and make it the version that new instances run."""
    raise NotImplementedError


async def show(db: Database, actor: Actor, workflow_ref: int | str) -> WorkflowView:
    """One workflow, by id or name."""
    raise NotImplementedError


async def versions(db: Database, actor: Actor, workflow_ref: int | str) -> list[WorkflowVersionView]:
    """The published versions, the newest first."""
    raise NotImplementedError


async def listing(
    db: Database, actor: Actor, *, limit: int = 50, after: str | None = None, archived: bool = False
) -> Page[WorkflowRow]:
    """Workflows, the newest first."""
    raise NotImplementedError


async def archive(db: Database, actor: Actor, workflow_ref: int | str) -> None:
    """Hide a workflow and start no more of it; its instances go on."""
    raise NotImplementedError


async def load_version(tx: Tx | Database, workflow_id: int, version: int) -> Workflow:
    """A published definition, for the engine."""
    raise NotImplementedError
