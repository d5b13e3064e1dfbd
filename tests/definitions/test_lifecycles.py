"""Lifecycles: the tables in the code are the tables SQL guards, and are sound."""

import pytest

from definitions.errors import Conflict
from definitions.lifecycles import LIFECYCLES, approval, checkout, instance, job
from definitions.lifecycles.moves import allows, check, find, terminal
from store.connection import Database

GUARDED = ("job", "instance", "approval", "checkout")


async def test_sql_guards_the_moves_of_the_code(db: Database) -> None:
    rows = await db.fetch("SELECT lifecycle, from_state, to_state FROM lifecycle_moves")
    in_sql = {(row["lifecycle"], row["from_state"], row["to_state"]) for row in rows}
    in_code = {
        (name, str(move.from_state), str(move.to_state)) for name in GUARDED for move in LIFECYCLES[name]
    }
    assert in_sql == in_code


@pytest.mark.parametrize("module", [job, instance, approval, checkout])
def test_every_state_has_a_sentence_and_is_reached_or_first(module: object) -> None:
    states = list(module.STATES)  # type: ignore[attr-defined]
    moves = module.MOVES  # type: ignore[attr-defined]
    assert all(sentence.endswith(".") for sentence in module.STATES.values())  # type: ignore[attr-defined]
    assert {move.to_state for move in moves} | {states[0]} == set(states)


def test_what_a_job_allows_is_the_manuals_table() -> None:
    assert {"queued", "pending", "running"} == job.CANCELLABLE
    assert {"failed", "timeout"} == job.RETRYABLE
    assert allows(job.MOVES, "timeout", "retry")
    assert set(job.JobStatus) - job.ENDED == job.CANCELLABLE


def test_a_decided_approval_stays_decided() -> None:
    assert terminal(approval.MOVES, approval.ApprovalStatus) == approval.ENDED


def test_a_checkout_that_ended_stays_ended() -> None:
    assert terminal(checkout.MOVES, checkout.CheckoutStatus) == checkout.ENDED


def test_every_step_status_has_a_sentence() -> None:
    assert set(instance.STEP_STATES) == set(instance.StepStatus)


def test_a_move_that_is_not_listed_is_refused_in_words() -> None:
    with pytest.raises(Conflict, match="completed can't become running"):
        check(job.MOVES, "completed", "running")


def test_a_listed_move_is_given_with_its_verb() -> None:
    assert check(job.MOVES, "queued", "pending").verb == "claim"
    assert find(job.MOVES, "queued", "queued") is None
