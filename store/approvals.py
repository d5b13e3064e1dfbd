"""Approval requests: opened by the engine or for a checkout, looked at by people, withdrawn, expired.

A request freezes what a person says yes to, and the digest of it. Voting is `store.votes`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from definitions import quorum
from definitions.errors import Conflict, Invalid
from definitions.identity import IdentityApproval
from definitions.lifecycles.approval import ApprovalStatus
from definitions.parameters import Value
from definitions.permissions import SYSTEM, Actor, require
from definitions.resuming import Resumption
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
from store.votes import decide, vote
from store.wakes import notify

__all__ = [
    "Question",
    "ask",
    "electorate",
    "expire_due",
    "listing",
    "open_request",
    "show",
    "vote",
    "withdraw_all",
]


_IN_ORDER = "(SELECT c.identity_id FROM checkouts c WHERE c.id = checkout_id) NULLS FIRST, id"
"""In which requests are decided together: what is asked for locks its identity, and these have an order."""


class ApprovalDetail(ApprovalView):
    """A request with what a yes to it sets going."""

    plan: Plan


@dataclass(frozen=True)
class Question:
    """What people are asked, and what waits for the answer: a visit of a step, a checkout made for jobs
    alone, or both: a visit's checkout."""

    title: str
    description: str
    rule: ApprovalStep | IdentityApproval
    """Who decides, and until when."""
    at: str
    """For whom nobody could be asked: `step 'gate'`."""
    askers: frozenset[int] = frozenset()
    """Who asks, and decides only if the rule lets them."""
    instance_id: int | None = None
    """None: of a checkout that is for jobs alone."""
    step_id: str | None = None
    visit: int | None = None
    branch: str = ""
    checkout_id: int | None = None
    """What a yes makes active; without one it is the step that goes on."""
    about: Mapping[str, Value] = field(default_factory=dict)
    """What else is frozen, beyond the instance's facts and the rule."""
    resumption: Resumption | None = None
    """How the instance goes on, where it asks again for what it held: the step it held that by does not run
    then, and what follows that step does not wait."""


class Electorate(NamedTuple):
    """Who may decide."""

    eligible: frozenset[int]
    needed: int
    """How many of them must say yes."""
    asked: list[str]
    """Who was meant by the approvers: roles, and people by id."""


async def electorate(
    tx: Tx, rule: ApprovalStep | IdentityApproval, askers: Collection[int], at: str
) -> Electorate:
    """Who may decide now; Conflict when nobody, or too few, can."""
    found = await people.resolve(tx, rule.approvers)
    eligible = frozenset[int]().union(*found.values())
    if not rule.allow_self:
        eligible -= set(askers)
    if not eligible:
        raise Conflict(
            f"Nobody could decide at {at}: {', '.join(rule.approvers)} names nobody who may "
            f"respond to approvals{'' if rule.allow_self else ', other than who asks for it'}."
        )
    try:
        needed = quorum.needed(rule.approval_type, len(eligible))
    except Invalid as error:
        raise Conflict(f"{at[:1].upper()}{at[1:]} could never be approved: {error.message}") from error
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
    """Open an approval step's request, or find the one it has; returns its id. The caller holds the
    instance's lock."""
    at = f"step {step.id!r}"
    askers = frozenset[int]() if started_by is None else frozenset[int]({started_by})
    question = Question(title, description, step, at, askers, instance_id, step_id, visit, branch)
    return await ask(tx, question)


async def ask(tx: Tx, question: Question) -> int:
    """Open the request of a step's visit, or find the one it has; returns its id. The caller holds the
    instance's lock, or has made the checkout in this transaction."""
    existing: int | None = await tx.fetchval(
        "SELECT id FROM approval_requests WHERE instance_id = $1 AND step_id = $2 AND visit = $3",
        question.instance_id,
        question.step_id,
        question.visit,
    )
    if existing is not None:
        return existing
    rule = question.rule
    title, description = _fitting(question.title, 500), _fitting(question.description, 20_000)
    eligible, needed, who = await electorate(tx, rule, question.askers, question.at)
    deadline = await _deadline(tx, rule)
    asked: dict[str, Value] = {
        **await _of_step(tx, question),
        **question.about,
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
        """INSERT INTO approval_requests (kind, checkout_id, instance_id, step_id, visit, title, description,
               approval_type, quorum, eligible, frozen, digest, deadline, branch)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) RETURNING id""",
        "approval" if question.checkout_id is None else "pam",
        question.checkout_id,
        question.instance_id,
        question.step_id,
        question.visit,
        title,
        description,
        rule.approval_type,
        needed,
        sorted(eligible),
        asked,
        quorum.digest(asked),
        deadline,
        question.branch,
    )
    detail = {"instance": question.instance_id, "step": question.step_id}
    more = {} if question.checkout_id is None else {"checkout": question.checkout_id}
    counts = {"quorum": needed, "eligible": len(eligible)}
    await audit.record(tx, SYSTEM, "approval.open", "approval", request_id, **detail, **more, **counts)
    await notices.asked(tx, request_id, rule.approvers, deadline)
    await notify(tx, channels.EVENTS, f"approval:{request_id}")
    return request_id


async def _of_step(tx: Tx, question: Question) -> dict[str, Value]:
    """The facts of the instance, and of the visit, that waits; none when jobs alone do."""
    if question.instance_id is None or question.step_id is None:
        return {}
    facts = await frozen_facts.of_instance(tx, question.instance_id, question.step_id, question.resumption)
    return {**facts, "step": question.step_id, "visit": question.visit}


def _fitting(text: str, most: int) -> str:
    """Text that resolved templates may have filled with a job's output: storable, and of bounded length."""
    text = storable(text)
    return text if len(text) <= most else text[: most - 1] + "…"


async def _deadline(tx: Tx, rule: ApprovalStep | IdentityApproval) -> datetime | None:
    minutes = float(rule.timeout_minutes) if rule.timeout_minutes is not None else None
    moment: datetime | None = await tx.fetchval(
        "SELECT clock_timestamp() + make_interval(secs => 60 * $1::float8)", minutes
    )
    return moment


async def withdraw_all(
    tx: Tx, instance_id: int, reason: str, actor: Actor = SYSTEM, steps: Visits | None = None
) -> int:
    """Withdraw every open request of an instance, whose lock the caller holds, or of some of its steps;
    returns how many."""
    rows = await tx.fetch(
        f"""SELECT * FROM approval_requests WHERE instance_id = $1 AND status = 'pending'
              AND {visits.OF_VISITS} ORDER BY {_IN_ORDER} FOR UPDATE""",
        instance_id,
        *visits.columns(steps),
    )
    for row in rows:
        await decide(tx, row, ApprovalStatus.WITHDRAWN, reason, actor)
    return len(rows)


async def expire_due(db: Database, limit: int = 200) -> int:
    """Expire the requests whose deadline has passed; returns how many. The keeper calls it.

    Locks instances before requests, as a vote does. A vote that got there first has moved the
    request out of `pending`, or its deadline had not passed when it looked: never both.
    """
    due = await db.fetch(
        """SELECT id, instance_id FROM approval_requests
           WHERE status = 'pending' AND deadline <= now() ORDER BY deadline LIMIT $1""",
        limit,
    )
    if not due:
        return 0
    async with db.transaction() as tx:
        await _lock_instances(tx, {row["instance_id"] for row in due if row["instance_id"] is not None})
        rows = await tx.fetch(
            f"""SELECT * FROM approval_requests WHERE id = ANY ($1) AND status = 'pending'
               AND deadline <= clock_timestamp() ORDER BY {_IN_ORDER} FOR UPDATE""",
            [row["id"] for row in due],
        )
        for row in rows:
            reason = f"Nobody decided before the deadline, {row['deadline']:%Y-%m-%d %H:%M:%S} UTC."
            await decide(tx, row, ApprovalStatus.EXPIRED, reason, SYSTEM)
    return len(rows)


async def _lock_instances(tx: Tx, instance_ids: Iterable[int]) -> None:
    await tx.fetch(
        "SELECT id FROM instances WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE", sorted(instance_ids)
    )


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
    `started`: those of what this person started, resumed or repeated; `decided`: those that are not open any
    more."""
    require(actor, "workflows.view")
    async with db.connection() as tx:
        found = await approval_views.rows(
            tx,
            actor,
            """WHERE r.id < $1 AND ($2::text IS NULL OR r.status = $2)
                 AND ($3::bool IS NULL OR $3 = (
                      r.status = 'pending' AND coalesce($4 = ANY (r.eligible), false)
                      AND NOT EXISTS (SELECT 1 FROM votes v WHERE v.request_id = r.id AND v.user_id = $4)))
                 AND (NOT $5 OR i.started_by = $4 OR c.for_id = $4 OR i.id IS NULL AND EXISTS (
                      SELECT FROM json_array_elements(r.frozen #> '{checkout,set_going}') hand
                      WHERE (hand ->> 'person')::bigint = $4)) AND (NOT $6 OR r.status <> 'pending')
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
