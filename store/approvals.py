"""Approval requests: opened by the engine or for a checkout, looked at by people, withdrawn, expired.

A request freezes what a person says yes to, and the digest of it. Voting is `store.votes`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from definitions import quorum
from definitions.errors import Conflict, Invalid
from definitions.identity import Identity, IdentityApproval
from definitions.lifecycles.approval import ApprovalStatus
from definitions.parameters import Value
from definitions.permissions import SYSTEM, Actor, require
from definitions.steps.approval import ApprovalStep
from definitions.storable import storable
from store import (
    approval_plans,
    approval_views,
    audit,
    channels,
    frozen_facts,
    notices,
    pages,
    people,
    visits,
)
from store.approval_plans import Plan
from store.approval_views import ApprovalRow, ApprovalView
from store.connection import Database, Tx
from store.pages import Page
from store.visits import Visits
from store.votes import decide, lock, vote
from store.wakes import notify

__all__ = [
    "About",
    "electorate",
    "expire_due",
    "listing",
    "open_about_checkout",
    "open_request",
    "show",
    "vote",
    "withdraw_all",
]


class ApprovalDetail(ApprovalView):
    """A request with what a yes to it sets going."""

    plan: Plan


class About(NamedTuple):
    """What a request belongs to: a visit of a step, a checkout made for jobs alone, or both: a visit's
    checkout."""

    instance_id: int | None = None
    step_id: str | None = None
    visit: int | None = None
    branch: str = ""
    checkout_id: int | None = None


class Electorate(NamedTuple):
    """Who may decide at a gate."""

    eligible: frozenset[int]
    needed: int
    """How many of them must say yes."""
    asked: list[str]
    """Who was meant by its approvers: roles, and people by id."""


async def electorate(tx: Tx, step: ApprovalStep, started_by: int | None) -> Electorate:
    """Who may decide at this gate now; Conflict when nobody, or too few, can."""
    return await _electorate(tx, step, None if step.allow_self else started_by, f"at step {step.id!r}")


async def _electorate(
    tx: Tx, rule: ApprovalStep | IdentityApproval, but: int | None, where: str
) -> Electorate:
    """The same by any rule, without one person."""
    found = await people.resolve(tx, rule.approvers)
    eligible = frozenset[int]().union(*found.values()) - {but}
    if not eligible:
        raise Conflict(
            f"Nobody could decide {where}: {', '.join(rule.approvers)} names nobody who may "
            f"respond to approvals{'' if but is None else ', other than who starts it'}."
        )
    try:
        needed = quorum.needed(rule.approval_type, len(eligible))
    except Invalid as error:
        raise Conflict(f"What is asked {where} could never be approved: {error.message}") from error
    return Electorate(eligible, needed, people.by_id(rule.approvers, found))


async def open_request(
    tx: Tx,
    *,
    instance_id: int,
    step_id: str,
    visit: int,
    step: ApprovalStep,
    title: str,
    description: str,
    started_by: int | None,
    branch: str = "",
) -> int:
    """Open a step's request, or find the one it has; returns its id. The caller holds the instance's lock."""
    existing: int | None = await tx.fetchval(
        "SELECT id FROM approval_requests WHERE instance_id = $1 AND step_id = $2 AND visit = $3",
        instance_id,
        step_id,
        visit,
    )
    if existing is not None:
        return existing
    about = About(instance_id, step_id, visit, branch)
    asked = {**await frozen_facts.of_instance(tx, instance_id, step_id), "step": step_id, "visit": visit}
    but = None if step.allow_self else started_by
    return await _open(tx, about, step, f"at step {step_id!r}", but, title, description, asked)


async def open_about_checkout(
    tx: Tx,
    about: About,
    identity: Identity,
    *,
    title: str,
    description: str,
    facts: Mapping[str, Value],
    asked_by: int | None,
) -> int:
    """Ask whether a checkout of an identity may become active; `facts` say what for. The caller has made the
    checkout in this transaction. Conflict when nobody but who asks could say yes."""
    assert identity.approval is not None
    where = f"on the use of {identity.name}"
    return await _open(tx, about, identity.approval, where, asked_by, title, description, facts)


async def _open(
    tx: Tx,
    about: About,
    rule: ApprovalStep | IdentityApproval,
    where: str,
    but: int | None,
    title: str,
    description: str,
    facts: Mapping[str, Value],
) -> int:
    title, description = _fitting(title, 500), _fitting(description, 20_000)
    eligible, needed, who = await _electorate(tx, rule, but, where)
    deadline = await _deadline(tx, rule)
    asked: dict[str, Value] = {
        **facts,
        "title": title,
        "description": description,
        "approval_type": rule.approval_type,
        "approvers": list[Value](rule.approvers),
        "asked": list[Value](who),
        "eligible": list[Value](sorted(eligible)),
        "quorum": needed,
        "deadline": deadline.isoformat() if deadline is not None else None,
    }
    request_id: int = await tx.fetchval(
        """INSERT INTO approval_requests (instance_id, step_id, visit, branch, checkout_id, kind, title,
               description, approval_type, quorum, eligible, frozen, digest, deadline)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) RETURNING id""",
        *about,
        "approval" if about.checkout_id is None else "pam",
        title,
        description,
        rule.approval_type,
        needed,
        sorted(eligible),
        asked,
        quorum.digest(asked),
        deadline,
    )
    detail = {"instance": about.instance_id, "step": about.step_id, "quorum": needed}
    detail |= {"eligible": len(eligible)}
    if about.checkout_id is not None:
        detail["checkout"] = about.checkout_id
    await audit.record(tx, SYSTEM, "approval.open", "approval", request_id, **detail)
    await notices.asked(tx, request_id, rule.approvers, deadline)
    await notify(tx, channels.EVENTS, f"approval:{request_id}")
    return request_id


def _fitting(text: str, most: int) -> str:
    """Text that resolved templates may have filled with a job's output: storable, and of bounded length."""
    text = storable(text)
    return text if len(text) <= most else text[: most - 1] + "…"


async def _deadline(tx: Tx, rule: ApprovalStep | IdentityApproval) -> datetime | None:
    minutes = float(rule.timeout_minutes) if rule.timeout_minutes is not None else None
    moment: datetime | None = await tx.fetchval(
        "SELECT clock_timestamp() + make_interval(secs => 60 * $1)", minutes
    )
    return moment


async def withdraw_all(
    tx: Tx, instance_id: int, reason: str, actor: Actor = SYSTEM, steps: Visits | None = None
) -> int:
    """Withdraw every open request of an instance, whose lock the caller holds, or of some of its steps;
    returns how many."""
    rows = await tx.fetch(
        f"""SELECT * FROM approval_requests WHERE instance_id = $1 AND status = 'pending'
              AND {visits.OF_VISITS} ORDER BY id FOR UPDATE""",
        instance_id,
        *visits.columns(steps),
    )
    for row in rows:
        await decide(tx, row, ApprovalStatus.WITHDRAWN, reason, actor)
    return len(rows)


async def expire_due(db: Database, limit: int = 200) -> int:
    """Expire the requests whose deadline has passed; returns how many. The keeper calls it.

    Each in a transaction of its own: it may lock an instance and an identity, of which nobody takes two
    in any order. A vote that got there first has moved the request out of `pending`, or its deadline had
    not passed when it looked: never both.
    """
    due = await db.fetch(
        """SELECT id FROM approval_requests
           WHERE status = 'pending' AND deadline <= now() ORDER BY deadline LIMIT $1""",
        limit,
    )
    expired = 0
    for each in due:
        async with db.transaction() as tx:
            row = await lock(tx, each["id"])
            if row["status"] == ApprovalStatus.PENDING:
                reason = f"Nobody decided before the deadline, {row['deadline']:%Y-%m-%d %H:%M:%S} UTC."
                await decide(tx, row, ApprovalStatus.EXPIRED, reason, SYSTEM)
                expired += 1
    return expired


async def show(db: Database, actor: Actor, request_id: int) -> ApprovalDetail:
    """One request, as this person sees it, with what will run if people say yes."""
    require(actor, "workflows.view")
    async with db.connection() as tx:
        view = await approval_views.one(tx, actor, request_id)
        row = await tx.fetchrow("SELECT * FROM approval_requests WHERE id = $1", request_id)
        assert row is not None
        return ApprovalDetail(**vars(view), plan=await approval_plans.show(tx, actor, row))


async def listing(
    db: Database,
    actor: Actor,
    *,
    status: str | None = None,
    mine: bool | None = None,
    started: bool = False,
    decided: bool = False,
    limit: int = 50,
    after: str | None = None,
) -> Page[ApprovalRow]:
    """Requests, decided ones too, the newest first; `mine`: those this person is asked and has not voted on,
    False: the other ones;
    `started`: those of what this person started; `decided`: those that are not open any more."""
    require(actor, "workflows.view")
    async with db.connection() as tx:
        found = await approval_views.rows(
            tx,
            actor,
            """WHERE r.id < $1 AND ($2::text IS NULL OR r.status = $2)
                 AND ($3::bool IS NULL OR $3 = (
                      r.status = 'pending' AND coalesce($4 = ANY (r.eligible), false)
                      AND NOT EXISTS (SELECT 1 FROM votes v WHERE v.request_id = r.id AND v.user_id = $4)))
                 AND (NOT $5 OR coalesce(i.started_by, c.for_id) = $4) AND (NOT $6 OR r.status <> 'pending')
               ORDER BY r.id DESC LIMIT $7""",
            pages.before(after),
            status,
            mine,
            actor.person,
            started,
            decided,
            pages.bounded(limit) + 1,
        )
    return pages.cut(found, limit, lambda row: row.id)
