"""Quorum: against a reference that tries every way the open votes could still go."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from definitions.errors import Invalid
from definitions.quorum import Vote, digest, needed, shortfall, tally
from definitions.steps.approval import ApprovalType

TYPES: tuple[ApprovalType, ...] = ("singular", "one_of_many", "two_of_many", "all", "majority")


def _passes(kind: str, people: int, approvals: int) -> bool:
    """The manual's table, said the other way round: would these approvals do?"""
    return {
        "singular": approvals == people == 1,
        "one_of_many": approvals >= 1,
        "two_of_many": approvals >= 2,
        "all": approvals == people,
        "majority": approvals > people / 2,
    }[kind]


@given(
    kind=st.sampled_from(TYPES),
    people=st.integers(1, 5),
    ballots=st.lists(st.sampled_from(["approve", "reject", None]), min_size=5, max_size=5),
)
def test_a_decision_falls_exactly_when_no_open_vote_can_change_it(
    kind: ApprovalType, people: int, ballots: list[Vote | None]
) -> None:
    if shortfall(kind, people) is not None:
        return
    cast: dict[int, Vote] = {person: vote for person, vote in enumerate(ballots[:people]) if vote is not None}
    approvals = sum(vote == "approve" for vote in cast.values())
    outcomes = {
        _passes(kind, people, approvals + sum(rest))
        for rest in itertools.product((0, 1), repeat=people - len(cast))
    }
    expected = "pending" if len(outcomes) == 2 else "approved" if outcomes == {True} else "rejected"
    assert tally(kind, range(people), cast).status == expected


def test_a_vote_of_somebody_else_does_not_count() -> None:
    assert tally("one_of_many", [1, 2], {3: "approve"}).status == "pending"


def test_a_person_named_twice_counts_once() -> None:
    assert tally("all", [1, 1, 2], {1: "approve", 2: "approve"}).status == "approved"


def test_the_sentence_says_how_many_are_missing() -> None:
    assert tally("two_of_many", [1, 2, 3], {1: "approve"}).sentence == "1 more approval is needed (1 of 2)."
    assert tally("all", [1, 2, 3], {1: "approve"}).sentence == "2 more approvals are needed (1 of 3)."


@pytest.mark.parametrize(
    ("kind", "people", "votes", "sentence"),
    [
        ("singular", 1, "n", "Rejected: 1 of 1 said no; 1 approval was needed."),
        ("one_of_many", 2, "nn", "Rejected: 2 of 2 said no; 1 approval was needed."),
        ("all", 3, "yn", "Rejected: 1 of 3 said no; 3 approvals were needed."),
        ("singular", 1, "y", "Approved: 1 of 1 said yes; 1 approval was needed."),
        ("majority", 3, "yny", "Approved: 2 of 3 said yes; 2 approvals were needed."),
    ],
)
def test_the_sentence_of_a_decision_says_who_and_how_many(
    kind: ApprovalType, people: int, votes: str, sentence: str
) -> None:
    cast: dict[int, Vote] = {n: "approve" if vote == "y" else "reject" for n, vote in enumerate(votes)}
    assert tally(kind, range(people), cast).sentence == sentence


@pytest.mark.parametrize(
    ("kind", "people", "quorum"),
    [("singular", 1, 1), ("one_of_many", 9, 1), ("two_of_many", 2, 2), ("all", 4, 4), ("majority", 4, 3)],
)
def test_thresholds_are_the_designs(kind: ApprovalType, people: int, quorum: int) -> None:
    assert needed(kind, people) == quorum


@pytest.mark.parametrize(("kind", "people"), [("one_of_many", 0), ("singular", 2), ("two_of_many", 1)])
def test_a_gate_nobody_can_pass_is_refused(kind: ApprovalType, people: int) -> None:
    with pytest.raises(Invalid):
        needed(kind, people)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_a_digest_survives_a_round_through_json(frozen: dict[str, object]) -> None:
    again = json.loads(json.dumps(dict(reversed(frozen.items()))))
    assert digest(frozen) == digest(again)  # type: ignore[arg-type]


def test_a_digest_tells_values_apart_that_python_takes_for_equal() -> None:
    assert digest({"a": 1}) != digest({"a": True})
    assert len(digest({})) == 64
