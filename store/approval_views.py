"""What a person sees of an approval request: frozen models, and the SQL that fills them.

Decides nothing (that is `store.votes`); says whether the person asking could.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from definitions import quorum
from definitions.lifecycles.approval import STATES, ApprovalStatus
from definitions.parameters import Value
from definitions.permissions import Actor, may
from store import people, references
from store.askers import SET_GOING, Hand
from store.connection import Row, Tx

Decision = Literal["approve", "reject"]


class Person(BaseModel):
    """Somebody who may decide."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str


class CastVote(BaseModel):
    """One person's vote; final."""

    model_config = ConfigDict(frozen=True)

    user_id: int
    name: str
    decision: Decision
    comment: str
    via: str
    at: datetime


class ApprovalRow(BaseModel):
    """One line of the inbox."""

    model_config = ConfigDict(frozen=True)

    id: int
    status: str
    kind: str
    title: str
    instance_id: int | None
    workflow_name: str
    step_id: str | None
    checkout_id: int | None
    """What it asks for, if that is a checkout."""
    identity: str | None
    """Whose."""
    started_by_name: str
    """Who started the instance, or ran the script first."""
    set_going: list[Hand]
    """They, and who has had it go on since; of a checkout the last is for whom it would be."""
    created_at: datetime
    deadline: datetime | None
    decided_at: datetime | None
    sentence: str
    """Where the count stands, or how it was decided."""
    may_decide: bool
    """Whether the person asking may vote now."""
    why_not: str | None
    """If not, why, in one sentence."""


class ApprovalView(ApprovalRow):
    """Everything a person needs to say yes or no."""

    description: str
    approval_type: str
    quorum: int
    eligible: list[Person]
    votes: list[CastVote]
    frozen: dict[str, Value]
    """What will run, fixed when the request was made: hosts, resolved inputs, versions, quorum."""
    digest: str
    """Of `frozen`; a vote hands it back, so that nobody approves what they have not seen."""
    decision_reason: str


class VoteView(BaseModel):
    """The answer to a vote."""

    model_config = ConfigDict(frozen=True)

    request_id: int
    status: str
    """Of the request, after this vote."""
    decided: bool
    """Whether the request is decided now, by this vote or an earlier one."""
    sentence: str
    """'Your vote is counted: 1 of 2.' or 'Approved.'"""


NO_LONGER_ASKED = "You were asked, and are not among the approvers any more."

ASKED = "coalesce(r.frozen -> 'asked', r.frozen -> 'approvers')"
"""SQL, of a request `r`: whom it asks, roles and people by id; its approvers as they were written, where
that was not kept yet."""

_ROW = f"""r.id, r.status, r.kind, r.title, r.instance_id, r.step_id, r.created_at, r.deadline, r.decided_at,
    r.decision_reason, r.approval_type, r.eligible, coalesce(w.name, '') AS workflow_name,
    r.checkout_id, d.name AS identity, {SET_GOING} AS set_going,
    coalesce(r.deadline <= clock_timestamp(), false) AS late, {ASKED} AS asked"""
FROM = """FROM approval_requests r
    LEFT JOIN instances i ON i.id = r.instance_id
    LEFT JOIN workflows w ON w.id = i.workflow_id
    LEFT JOIN checkouts c ON c.id = r.checkout_id
    LEFT JOIN identities d ON d.id = c.identity_id
    LEFT JOIN users u ON u.id = c.for_id"""
"""Requests `r`, with what is known of each."""


async def rows(tx: Tx, actor: Actor, condition: str, *args: object) -> list[ApprovalRow]:
    """The requests that `condition` (SQL of ours, over `r`, `i` and `c`) picks, a line each."""
    found = await tx.fetch(f"SELECT {_ROW} {FROM} {condition}", *args)
    votes = await votes_of(tx, [row["id"] for row in found])
    lost = await _lost(tx, found, actor)
    return [ApprovalRow(**_line(row, votes.get(row["id"], []), actor, lost)) for row in found]


async def select(tx: Tx, actor: Actor, condition: str, *args: object) -> list[ApprovalView]:
    """The requests that `condition` (SQL of ours, over `r` and `i`) picks, as this person sees them."""
    found = await tx.fetch(
        f"SELECT {_ROW}, r.description, r.quorum, r.frozen, r.digest {FROM} {condition}", *args
    )
    votes = await votes_of(tx, [row["id"] for row in found])
    names = await people.names(tx, {user for row in found for user in row["eligible"]})
    lost = await _lost(tx, found, actor)
    return [_view(row, votes.get(row["id"], []), names, actor, lost) for row in found]


async def _lost(tx: Tx, found: Sequence[Row], actor: Actor) -> set[int]:
    """The open requests this person was asked in, and is not among the approvers of any more."""
    person = actor.person
    mine = [row for row in found if row["status"] == ApprovalStatus.PENDING and person in row["eligible"]]
    words = {word for row in mine for word in row["asked"] or ()}
    meant = await people.resolve(tx, words) if words else {}
    return {
        row["id"]
        for row in mine
        if row["asked"] and not any(person in meant.get(word, ()) for word in row["asked"])
    }


async def one(tx: Tx, actor: Actor, request_id: int) -> ApprovalView:
    """One request, or NotFound."""
    found = await select(tx, actor, "WHERE r.id = $1", request_id)
    if not found:
        raise references.missing("approval request", request_id)
    return found[0]


async def votes_of(tx: Tx, request_ids: Sequence[int]) -> dict[int, list[CastVote]]:
    """The votes of some requests, in the order they were cast."""
    found: dict[int, list[CastVote]] = {}
    for row in await tx.fetch(
        """SELECT v.request_id, v.user_id, u.name, v.decision, v.comment, v.via, v.at
           FROM votes v JOIN users u ON u.id = v.user_id WHERE v.request_id = ANY ($1) ORDER BY v.at""",
        list(request_ids),
    ):
        found.setdefault(row["request_id"], []).append(CastVote(**row))
    return found


def tally(row: Row, votes: Sequence[CastVote]) -> quorum.Tally:
    """Where a request stands by its votes."""
    cast = {vote.user_id: vote.decision for vote in votes}
    return quorum.tally(row["approval_type"], row["eligible"], cast)


def not_asked(row: Row, actor: Actor) -> str | None:
    """None if the person is among those asked; otherwise why not. `row` has eligible, and set_going as
    `askers.SET_GOING`."""
    if actor.kind != "user" or actor.id is None:
        return "Only a person may decide."
    if actor.id in row["eligible"]:
        return None
    for hand in row["set_going"]:
        if actor.id == hand["person"]:
            return f"You {hand['did']} this, and somebody else has to decide on it."
    return "You are not among the people asked."


def _why_not(row: Row, votes: Sequence[CastVote], actor: Actor, lost: Collection[int]) -> str | None:
    if row["status"] != ApprovalStatus.PENDING:
        return f"It is {row['status']} already."
    if row["late"]:
        return "The deadline has passed."
    mine = next((vote for vote in votes if vote.user_id == actor.id), None)
    if mine is not None and actor.kind == "user":
        return f"You have voted: {mine.decision}."
    no_longer = NO_LONGER_ASKED if row["id"] in lost else None
    return not_asked(row, actor) or may(actor, people.VOTE) or no_longer


def _line(row: Row, votes: list[CastVote], actor: Actor, lost: Collection[int]) -> dict[str, Any]:
    why_not = _why_not(row, votes, actor, lost)
    if row["status"] == ApprovalStatus.PENDING:
        sentence = tally(row, votes).sentence
    else:
        sentence = row["decision_reason"] or STATES[ApprovalStatus(row["status"])]
    decided = {"sentence": sentence, "may_decide": why_not is None, "why_not": why_not}
    fields = {**row, **decided, "started_by_name": row["set_going"][0]["name"]}
    return {name: fields[name] for name in ApprovalRow.model_fields}


def _view(
    row: Row, votes: list[CastVote], names: dict[int, str], actor: Actor, lost: Collection[int]
) -> ApprovalView:
    eligible = [Person(id=user, name=names.get(user, f"user {user}")) for user in row["eligible"]]
    more = ("description", "approval_type", "quorum", "frozen", "digest", "decision_reason")
    return ApprovalView(
        **_line(row, votes, actor, lost), eligible=eligible, votes=votes, **{name: row[name] for name in more}
    )
