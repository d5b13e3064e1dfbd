"""What a person names as targets -> hosts. An empty set never means 'everywhere': it is refused.

A host has one online rule, here: its agent was heard within ONLINE_SECONDS.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from definitions.catalogue import ENGINE, NO_ENGINE_STEPS
from definitions.errors import Invalid
from definitions.problems import Problem
from store.connection import Database, Row, Tx
from store.names import normalise

ONLINE_SECONDS = 60

_HOSTS = f"""SELECT h.id, h.name, h.os, a.last_seen_at,
       coalesce(a.last_seen_at > now() - interval '{ONLINE_SECONDS} seconds', false) AS online
    FROM hosts h LEFT JOIN agents a ON a.host_id = h.id AND a.revoked_at IS NULL
    WHERE h.decommissioned_at IS NULL AND """
_FLEET = f"{_HOSTS} h.name <> '{ENGINE}' AND "


class HostRef(NamedTuple):
    """A host that work can be sent to."""

    id: int
    name: str
    os: str
    online: bool
    last_seen_at: datetime | None


async def resolve(
    tx: Tx, targets: Sequence[str | int], pointer: str = "/hosts", *, of_step: bool = False
) -> list[HostRef]:
    """The hosts meant, each once, in the order named; `name`, id, `tag:x` or `group:x`; of a step `@engine`.

    A target that is not known, or that names no host, is `Invalid`; so is no target at all.
    """
    if not targets:
        raise Invalid(
            "No host is named.",
            [
                _problem(
                    pointer, "empty-target-set", "No host is named.", "Name a host, `tag:x` or `group:x`."
                )
            ],
        )
    found: dict[int, HostRef] = {}
    problems: list[Problem] = []
    for position, target in enumerate(targets):
        rows = await (_engine(tx) if of_step and target == ENGINE else _named(tx, target))
        if not rows:
            problems.append(_unknown(f"{pointer}/{position}", target, of_step))
        found.update((row["id"], _ref(row)) for row in rows if row["id"] not in found)
    if problems:
        raise Invalid(problems[0].message, problems)
    return list(found.values())


async def engine_runs_steps(tx: Tx | Database) -> bool:
    """Whether there is a worker that may run steps on its own host."""
    return bool(await _engine(tx))


async def by_ids(tx: Tx, host_ids: Sequence[int]) -> list[HostRef]:
    """The hosts with these ids that are still there, in the order given."""
    rows = await tx.fetch(f"{_HOSTS} h.id = ANY($1) ORDER BY array_position($1, h.id)", list(host_ids))
    return [_ref(row) for row in rows]


async def _named(tx: Tx, target: str | int) -> list[Row]:
    text = str(target)
    kind, colon, label = text.partition(":")
    if colon and kind in ("tag", "group"):
        column = "tags" if kind == "tag" else "groups"
        return await tx.fetch(f"{_FLEET} $1 = ANY(h.{column}) ORDER BY h.name", label)
    return await tx.fetch(f"{_FLEET} (h.id::text = $1 OR h.name = $2)", text, normalise(text))


async def _engine(tx: Tx | Database) -> list[Row]:
    """`@engine`, if a worker was heard that may run its jobs: none is made that nobody would pick up."""
    rows = await tx.fetch(f"{_HOSTS} h.name = $1", ENGINE)
    return [row for row in rows if row["online"]]


def _ref(row: Row) -> HostRef:
    return HostRef(row["id"], row["name"], row["os"], row["online"], row["last_seen_at"])


def _unknown(pointer: str, target: str | int, of_step: bool) -> Problem:
    text = str(target)[:80]
    if text == ENGINE and of_step:
        return _problem(pointer, *NO_ENGINE_STEPS)
    if text == ENGINE:
        return _problem(
            pointer, "only-a-step", "Only a step of a workflow can run on the engine host.", "Name a host."
        )
    if ":" in text:
        return _problem(
            pointer, "empty-target-set", f"{text} names no host.", "Give a host this tag or group."
        )
    return _problem(pointer, "unknown-host", f"There is no host {text}.", "Enrol it, or correct the name.")


def _problem(pointer: str, code: str, message: str, fix: str) -> Problem:
    return Problem(pointer=pointer, code=code, message=message, fix=fix)
