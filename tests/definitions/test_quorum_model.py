"""Every order in which up to seven people approve, reject or stay silent, of every type, against a reference.

Millions of orders, and few states: who has said what. So every state is looked at once, and every vote
that leads from one to another: an order is a path along such votes, up to the one that decides.
"""

import itertools
from collections.abc import Iterator

import pytest

from definitions.errors import Invalid
from definitions.quorum import Vote, needed, tally
from definitions.steps.approval import ApprovalType

TYPES: tuple[ApprovalType, ...] = ("singular", "one_of_many", "two_of_many", "all", "majority")
CASES = [(kind, people) for kind in TYPES for people in range(1, 8)]
State = tuple[Vote | None, ...]
"""What each person has said; None: nothing."""


# The reference: the manual's table, said the other way round, and every way the silent ones could still go.
def passes(kind: ApprovalType, people: int, approvals: int) -> bool:
    return {
        "singular": approvals == people == 1,
        "one_of_many": approvals >= 1,
        "two_of_many": approvals >= 2,
        "all": approvals == people,
        "majority": approvals > people / 2,
    }[kind]


def expected(kind: ApprovalType, state: State) -> str:
    approvals, silent = state.count("approve"), state.count(None)
    outcomes = {passes(kind, len(state), approvals + more) for more in range(silent + 1)}
    if len(outcomes) == 2:
        return "pending"
    return "approved" if outcomes == {True} else "rejected"


def ours(kind: ApprovalType, state: State) -> str:
    cast = {person: vote for person, vote in enumerate(state) if vote is not None}
    return tally(kind, range(len(state)), cast).status


def votes(state: State) -> Iterator[State]:
    """Every state that one more vote leads to."""
    for person, said in enumerate(state):
        for vote in ("approve", "reject") if said is None else ():
            yield (*state[:person], vote, *state[person + 1 :])


POSSIBLE = [case for case in CASES if any(passes(*case, approvals) for approvals in range(case[1] + 1))]


@pytest.mark.parametrize(("kind", "people"), CASES)
def test_a_gate_opens_exactly_when_some_of_its_people_could_pass_it(kind: ApprovalType, people: int) -> None:
    if (kind, people) in POSSIBLE:
        assert passes(kind, people, needed(kind, people))
        assert not passes(kind, people, needed(kind, people) - 1)
    else:
        with pytest.raises(Invalid):
            needed(kind, people)


@pytest.mark.parametrize(("kind", "people"), POSSIBLE)
def test_in_every_order_of_votes_the_decision_falls_at_once_and_stays(
    kind: ApprovalType, people: int
) -> None:
    states = list(itertools.product((None, "approve", "reject"), repeat=people))
    decided = {state: ours(kind, state) for state in states}
    assert decided == {state: expected(kind, state) for state in states}
    for state, status in decided.items():
        if status != "pending":
            assert {decided[after] for after in votes(state)} <= {status}, "a later vote would have undone it"
        elif None not in state:
            raise AssertionError("everybody has voted, and nothing is decided")
