"""Hosts: look at them, tag and group them, let one enrol again, decommission one."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from definitions.catalogue import ENGINE
from definitions.errors import Conflict, Invalid, NotFound
from definitions.lifecycles.job import JobStatus
from definitions.permissions import Actor, require
from definitions.problems import Problem
from store import agents, audit, job_endings
from store.connection import Database, Tx
from store.names import normalise
from store.pages import Page, before, bounded, cut
from store.targets import ONLINE_SECONDS

REENROL_WINDOW = timedelta(hours=1)
MOST_LABELS = 100
"""Most tags of one host, and most groups."""
Labels = Annotated[list[str], Field(max_length=MOST_LABELS)]
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")

_VIEW = f"""SELECT h.id, h.name, h.os, h.arch, h.facts, h.tags, h.groups, h.created_at, h.decommissioned_at,
        h.reenrol_until, a.id AS agent_id, a.version AS agent_version, a.last_seen_at, a.enrolled_at,
        coalesce(a.last_seen_at > now() - interval '{ONLINE_SECONDS} seconds', false) AS online,
        (SELECT count(*) FROM jobs j WHERE j.host_id = h.id AND j.status = 'queued') AS queued,
        (SELECT count(*) FROM jobs j WHERE j.agent_id = a.id AND j.status IN ('pending', 'running')) AS active
    FROM hosts h LEFT JOIN agents a ON a.host_id = h.id AND a.revoked_at IS NULL"""


class HostView(BaseModel):
    """A host, its agent, and how much there is to do."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    os: str
    arch: str
    facts: dict[str, Any]
    tags: list[str]
    groups: list[str]
    created_at: datetime
    decommissioned_at: datetime | None
    reenrol_until: datetime | None
    agent_id: int | None
    agent_version: str | None
    enrolled_at: datetime | None
    last_seen_at: datetime | None
    online: bool
    queued: int
    active: int


class DecommissionedView(HostView):
    """A host that was just taken out of service, and what became of its work."""

    failed_jobs: list[int]
    """Those that waited or ran: they have failed. The agent stops what still runs when it next asks."""


class LabelChange(BaseModel):
    """Labels to add to those that a host has, and labels to take away; one in both is taken away."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    add: Labels = []
    remove: Labels = []


class GroupView(BaseModel):
    """A group: a name that hosts carry."""

    model_config = ConfigDict(frozen=True)

    name: str
    hosts: list[str]


async def show(db: Database, actor: Actor, host: int | str) -> HostView:
    """One host, by id or name."""
    require(actor, "hosts.view")
    async with db.connection() as connection:
        return await _load(connection, host)


async def listing(
    db: Database,
    actor: Actor,
    *,
    tag: str | None = None,
    group: str | None = None,
    online: bool | None = None,
    decommissioned: bool = False,
    limit: int = 50,
    after: str | None = None,
) -> Page[HostView]:
    """Hosts, newest first."""
    require(actor, "hosts.view")
    rows = await db.fetch(
        f"""SELECT * FROM ({_VIEW}) AS host
            WHERE id < $1 AND name <> '{ENGINE}'
              AND ($2::text IS NULL OR $2 = ANY(tags)) AND ($3::text IS NULL OR $3 = ANY(groups))
              AND ($4::boolean IS NULL OR online = $4) AND (decommissioned_at IS NOT NULL) = $5
            ORDER BY id DESC LIMIT $6""",
        before(after),
        tag,
        group,
        online,
        decommissioned,
        bounded(limit) + 1,
    )
    return cut([HostView(**row) for row in rows], limit, lambda host: host.id)


async def groups(db: Database, actor: Actor) -> list[GroupView]:
    """Every group that some host is in."""
    require(actor, "hosts.view")
    rows = await db.fetch(
        """SELECT label AS name, array_agg(h.name ORDER BY h.name) AS hosts
           FROM hosts h, unnest(h.groups) label WHERE h.decommissioned_at IS NULL
             GROUP BY label ORDER BY label"""
    )
    return [GroupView(**row) for row in rows]


async def label(
    db: Database,
    actor: Actor,
    host: int | str,
    *,
    tags: Sequence[str] | LabelChange | None = None,
    groups: Sequence[str] | LabelChange | None = None,
) -> HostView:
    """Set the tags or the groups of a host, or change some of them; what is not given stays."""
    require(actor, "hosts.manage")
    given = {"tags": tags, "groups": groups}
    changes = {column: _change(column, value) for column, value in given.items() if value is not None}
    async with db.transaction() as tx:
        before_ = await _of_fleet(tx, host)
        # Each from the labels that the row has at that moment: nobody's change is lost to another's.
        become = {
            column: await tx.fetchval(
                f"""UPDATE hosts SET {column} = ARRAY (
                        SELECT DISTINCT label COLLATE "C"
                        FROM unnest($2 || CASE WHEN $4 THEN {column} END) label
                        WHERE label <> ALL ($3) ORDER BY 1)
                    WHERE id = $1 RETURNING {column}""",
                before_.id,
                change.add,
                change.remove,
                keep,
            )
            for column, (change, keep) in changes.items()
        }
        for column, labels in become.items():
            if len(labels) > MOST_LABELS:
                raise Invalid(f"A host has at most {MOST_LABELS} {column}, and this would be {len(labels)}.")
        await audit.record(tx, actor, "host.label", "host", before_.id, name=before_.name, **become)
        return await _load(tx, before_.id)


def _change(what: str, given: Sequence[str] | LabelChange) -> tuple[LabelChange, bool]:
    """What to add and to remove, and whether the others stay."""
    if not isinstance(given, LabelChange):
        return LabelChange(add=list(_checked(what, given))), False
    for part in ("add", "remove"):
        _checked(f"{what}/{part}", getattr(given, part))
    return given, True


async def allow_reenrolment(db: Database, actor: Actor, host: int | str) -> HostView:
    """Let a host of this name enrol again within the next hour; its agent of now ends when it does."""
    require(actor, "hosts.manage")
    async with db.transaction() as tx:
        found = await _of_fleet(tx, host)
        await tx.execute(
            "UPDATE hosts SET reenrol_until = now() + $2 WHERE id = $1", found.id, REENROL_WINDOW
        )
        await audit.record(tx, actor, "host.allow_reenrolment", "host", found.id, name=found.name)
        return await _load(tx, found.id)


async def decommission(db: Database, actor: Actor, host: int | str) -> DecommissionedView:
    """Take a host out of service: its agent is refused from now on, its unfinished jobs have failed."""
    require(actor, "hosts.manage")
    async with db.transaction() as tx:
        found = await _of_fleet(tx, host)
        await tx.execute(
            """UPDATE hosts SET decommissioned_at = coalesce(decommissioned_at, now()), reenrol_until = NULL
               WHERE id = $1""",
            found.id,
        )
        why = "The host was decommissioned."
        failed = await agents.revoke_of_host(tx, found.id, why)
        # What the agent had claimed and not started is queued again by now.
        queued = await tx.fetch(
            "SELECT id FROM jobs WHERE host_id = $1 AND status = 'queued' ORDER BY instance_id, id", found.id
        )
        for row in queued:
            job = await job_endings.lock(tx, row["id"])
            if job is not None and job["status"] == JobStatus.QUEUED:
                await job_endings.end(tx, job, JobStatus.FAILED, why)
                failed.append(row["id"])
        await audit.record(
            tx, actor, "host.decommission", "host", found.id, name=found.name, failed_jobs=len(failed)
        )
        gone = await _load(tx, found.id)
        return DecommissionedView(**gone.model_dump(), failed_jobs=sorted(failed))


async def _of_fleet(tx: Tx, host: int | str) -> HostView:
    """A host that people look after."""
    found = await _load(tx, host)
    if found.name == ENGINE:
        raise Conflict("The engine's own host is no part of the fleet; `engine_steps` of a worker rules it.")
    return found


async def _load(tx: Tx, host: int | str) -> HostView:
    row = await tx.fetchrow(f"{_VIEW} WHERE h.id::text = $1 OR h.name = $2", str(host), normalise(str(host)))
    if row is None:
        raise NotFound(f"There is no host {str(host)[:80]}.")
    return HostView(**row)


def _checked(what: str, labels: Sequence[str]) -> Sequence[str]:
    problems = [
        Problem(
            pointer=f"/{what}/{position}",
            code="bad-label",
            message="A tag or group has letters, digits and . _ / - only, at most 63.",
            fix="Choose such a name.",
        )
        for position, text in enumerate(labels)
        if not _LABEL.fullmatch(text)
    ]
    if problems:
        raise Invalid(problems[0].message, problems)
    return labels
