"""Quorum: what counts, what is said, what is digested. Every order of votes: test_quorum_model.py."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from definitions.errors import Invalid
from definitions.quorum import Vote, digest, needed, tally
from definitions.steps.approval import ApprovalType


def test_a_vote_of_somebody_else_does_not_count() -> None:
    assert tally("one_of_many", [1, 2], {3: "approve"}).status == "pending"


def test_a_person_named_twice_counts_once() -> None:
    assert tally("all", [1, 1, 2], {1: "approve", 2: "approve"}).status == "approved"


def test_the_sentence_says_how_many_are_missing() -> None:
    assert tally("two_of_many", [1, 2, 3], {1: "approve"}).sentence == "1 of 2, one more needed."
    assert tally("all", [1, 2, 3], {1: "approve"}).sentence == "1 of 3, 2 more needed."
    against: dict[int, Vote] = {1: "approve", 2: "reject"}
    assert tally("two_of_many", [1, 2, 3], against).sentence == "1 of 2, one more needed; 1 said no."


NO = "Rejected: approval can no longer be reached."


@pytest.mark.parametrize(
    ("kind", "people", "votes", "sentence"),
    [
        (
            "singular",
            1,
            "n",
            f"{NO} 1 of 1 said no; 1 approval was needed.",
        ),
        (
            "one_of_many",
            2,
            "nn",
            f"{NO} 2 of 2 said no; 1 approval was needed.",
        ),
        (
            "all",
            3,
            "yn",
            f"{NO} 1 of 3 said no; 3 approvals were needed.",
        ),
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
