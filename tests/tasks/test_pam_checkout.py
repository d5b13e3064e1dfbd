"""Checkouts and check-ins as steps, on real rows: who is asked, whose turn it is, how each of them ends."""

from types import SimpleNamespace
from typing import Any

import pytest

from definitions.permissions import SYSTEM, Actor
from definitions.routing import Active
from store import approvals, checkouts
from store.checkouts import Wanted
from store.connection import Database
from store.engine import situation
from tasks.step_run import Settled, Waiting
from tests.store.workflows.test_vaults_and_identities import save_identity, save_vault
from tests.tasks.conftest import Bench, MakeBench, hold_elsewhere

OUT = {
    "type": "pam_checkout",
    "identity": "db_admin",
    "variable_name": "dba",
    "reason": "for {{instance.id}}",
}


@pytest.fixture(autouse=True)
async def identity(db: Database, admin: Actor) -> None:
    org = SimpleNamespace(db=db)
    await save_vault(org)
    await save_identity(org)


async def ask_first(db: Database, admin: Actor, **more: Any) -> None:
    """From now on the identity takes ann's yes."""
    approval = {"approvers": [f"user:{admin.id}"], "timeout_minutes": 60}
    await save_identity(SimpleNamespace(db=db), requires_approval=True, approval=approval, **more)


async def gate_of(bench: Bench) -> Waiting:
    waiting = await bench.begin()
    assert isinstance(waiting, Waiting), waiting.reason
    assert waiting.kind == "gate"
    return waiting


async def vote(db: Database, admin: Actor, waiting: Waiting, decision: Any) -> None:
    assert waiting.request_id is not None
    request = await approvals.show(db, admin, waiting.request_id)
    await approvals.vote(db, admin, request.id, decision, "", request.digest)


async def statuses(db: Database) -> list[str]:
    return [row["status"] for row in await db.fetch("SELECT status FROM checkouts ORDER BY id")]


async def test_it_leaves_who_it_is_under_both_names_and_no_credential(bench: MakeBench, db: Database) -> None:
    step = await bench(**OUT, duration_minutes=5)
    settled = await step.begin()
    assert isinstance(settled, Settled)
    assert settled.status == "completed", settled.reason
    assert settled.facts is not None
    assert settled.facts.checkout is not None
    left = settled.facts.checkout.model_dump()
    assert left.pop("id") == await db.fetchval(
        "SELECT id FROM checkouts WHERE minutes = 5 AND status = 'active'"
    )
    assert left == {
        "names": ("dba", "db_admin"),
        "vault": "main",
        "path": "database/app",
        "username": "app",
        "credential_type": "database",
        "domain": None,
    }
    await step.close(settled)
    run = step.run
    run.situation.results = (await situation.load(db, run.lease, run.situation.workflow)).results
    assert {name: facts["username"] for name, facts in run.scope().identities.items()} == {
        "dba": "app",
        "db_admin": "app",
    }
    row = await db.fetchrow("SELECT input, reason FROM step_results")
    assert row is not None
    assert row["input"] == {"identity": "db_admin", "reason": f"for {run.situation.instance_id}"}


@pytest.mark.parametrize("decision", ["approve", "reject"])
async def test_an_identity_that_requires_approval_waits_for_people(
    bench: MakeBench, db: Database, admin: Actor, decision: str
) -> None:
    await ask_first(db, admin)
    step = await bench(**OUT)
    waiting = await gate_of(step)
    assert waiting.request_id is not None
    request = await approvals.show(db, admin, waiting.request_id)
    number = step.run.situation.instance_id
    assert (request.kind, request.title, request.description) == (
        "pam",
        "Check out db_admin",
        f"for {number}",
    )
    about = request.frozen["checkout"]
    assert isinstance(about, dict)
    assert (about["identity"], about["version"], about["username"], about["minutes"]) == (
        "db_admin",
        2,
        "app",
        60,
    )
    await vote(db, admin, waiting, decision)
    settled = await step.settle()
    assert isinstance(settled, Settled)
    expected = ("completed", ["active"]) if decision == "approve" else ("failed", ["denied"])
    assert (settled.status, await statuses(db)) == expected
    assert decision == "approve" or "approval can no longer be reached" in settled.reason


async def test_a_deadline_that_nobody_kept_denies_it(bench: MakeBench, db: Database, admin: Actor) -> None:
    await ask_first(db, admin)
    step = await bench(**OUT, timeout_minutes=10)
    waiting = await gate_of(step)
    asked = await db.fetchrow("SELECT deadline - created_at AS time FROM approval_requests")
    assert asked is not None
    assert 590 < asked["time"].total_seconds() < 610, "the shorter of the two"
    await db.execute(
        "UPDATE approval_requests SET deadline = clock_timestamp() WHERE id = $1", waiting.request_id
    )
    assert await approvals.expire_due(db) == 1
    settled = await step.settle()
    assert isinstance(settled, Settled)
    assert (settled.status, await statuses(db)) == ("failed", ["denied"])
    assert "Nobody decided before the deadline" in settled.reason


async def test_a_worker_that_dies_after_it_asked_asks_nobody_twice(
    bench: MakeBench, db: Database, admin: Actor
) -> None:
    await ask_first(db, admin)
    step = await bench(**OUT)
    first = await gate_of(step)
    other = await step.taken_over()
    again = await other.settle()
    assert isinstance(again, Waiting)
    assert again.request_id == first.request_id
    assert await db.fetchval("SELECT count(*) FROM checkouts") == 1
    assert (await gate_of(other)).request_id == first.request_id
    assert await db.fetchval("SELECT count(*) FROM approval_requests") == 1


async def hold(db: Database) -> tuple[int, int]:
    """Another instance has the exclusive identity: the checkout and the instance."""
    await save_identity(SimpleNamespace(db=db), exclusive=True)
    return await hold_elsewhere(db, "db_admin")


async def test_an_exclusive_identity_is_waited_for_until_it_is_free(bench: MakeBench, db: Database) -> None:
    step = await bench(**OUT)
    held, number = await hold(db)
    waiting = await step.begin()
    assert isinstance(waiting, Waiting)
    assert waiting.sentence.startswith(f"Waits until db_admin is free: instance {number} holds it, until ")
    assert (waiting.kind, waiting.wake_at) == ("delay", None)
    wakes = "SELECT wake_seq FROM instances WHERE id <> $1"
    seq = await db.fetchval(wakes, number)
    async with db.transaction() as tx:
        assert await checkouts.check_in(tx, SYSTEM, held, "Done.")
    assert await checkouts.tell(db) == 2
    assert await db.fetchval(wakes, number) == seq + 1, "for its turn, not for the end"
    settled = await step.settle()
    assert isinstance(settled, Settled)
    assert (settled.status, await statuses(db)) == ("completed", ["ended", "active"])


@pytest.mark.parametrize(("approved", "does"), [(True, "holds it"), (False, "waits for it")])
async def test_an_instance_does_not_wait_for_what_another_of_its_steps_has(
    bench: MakeBench, db: Database, admin: Actor, approved: bool, does: str
) -> None:
    step = await bench(**OUT)
    wanted = Wanted(step.run.situation.instance_id, "other", 1, "db_admin")
    if not approved:
        await ask_first(db, admin)
    async with db.transaction() as tx:
        other = await checkouts.request(tx, wanted)
    await save_identity(SimpleNamespace(db=db), exclusive=True)
    settled = await step.begin()
    assert isinstance(settled, Settled)
    assert settled.reason == (
        f"db_admin is exclusive, and step other of the same instance {does} already: "
        "it would wait for itself. Check it in first."
    )
    assert await db.fetchval("SELECT count(*) FROM checkouts") == 1
    async with db.transaction() as tx:
        assert await checkouts.check_in(tx, SYSTEM, other.id, "Done.")
    settled = await step.begin()
    assert isinstance(settled, Settled)
    assert settled.status == "completed"


async def test_a_step_that_waits_for_its_turn_too_long_fails_and_asks_no_more(
    bench: MakeBench, db: Database
) -> None:
    step = await bench(**OUT, timeout_minutes=5)
    await hold(db)
    waiting = await step.begin()
    assert isinstance(waiting, Waiting)
    assert waiting.wake_at is not None
    await step.pass_time(minutes=5)
    settled = await step.settle()
    assert isinstance(settled, Settled)
    assert (settled.status, settled.reason) == ("failed", "It was not over within 5 minutes.")
    await step.close(settled)
    assert await statuses(db) == ["active", "ended"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("UPDATE identities SET archived_at = now()", "The identity db_admin is archived."),
        ("UPDATE identities SET name = 'other'", "There is no identity 'db_admin'."),
    ],
)
async def test_what_can_not_be_checked_out_fails_the_step_in_words(
    bench: MakeBench, db: Database, change: str, why: str
) -> None:
    step = await bench(**OUT)
    await db.execute(change)
    settled = await step.begin()
    assert isinstance(settled, Settled)
    assert (settled.status, settled.reason) == ("failed", why)


async def test_a_reason_without_a_value_checks_nothing_out(bench: MakeBench, db: Database) -> None:
    settled = await (await bench(**{**OUT, "reason": "{{inputs.none}}"})).begin()
    assert isinstance(settled, Settled)
    assert settled.status == "failed"
    assert await statuses(db) == []


async def checked_out(db: Database, bench: Bench, *steps: str) -> None:
    for step in steps:
        async with db.transaction() as tx:
            await checkouts.request(tx, Wanted(bench.run.situation.instance_id, step, 1, "db_admin"))


@pytest.mark.parametrize(
    ("named", "left", "said"),
    [
        ("x", ["ended", "active", "active"], "Checked in: db_admin."),
        (["x", "z"], ["ended", "active", "ended"], "Checked in: db_admin, db_admin."),
        ([], ["ended", "ended", "ended"], "Checked in: db_admin, db_admin, db_admin."),
        ("nobody", ["active", "active", "active"], "Nothing was checked out any more."),
    ],
)
async def test_a_check_in_ends_what_it_names_or_all(
    bench: MakeBench, db: Database, named: Any, left: list[str], said: str
) -> None:
    checkout = [named] if isinstance(named, str) else named
    step = await bench(type="pam_checkin", checkout=checkout)
    await checked_out(db, step, "x", "y", "z")
    settled = await step.begin()
    assert isinstance(settled, Settled)
    assert (settled.status, settled.reason, await statuses(db)) == ("completed", said, left)
    if "ended" in left:
        reason = await db.fetchval("SELECT end_reason FROM checkouts WHERE status = 'ended' LIMIT 1")
        assert reason == "Checked in by step a."


async def test_a_check_in_that_broke_off_is_over_when_it_is_taken_up(bench: MakeBench, db: Database) -> None:
    step = await bench(type="pam_checkin")
    await checked_out(db, step, "x")
    await step.begin()
    again = await step.taken_over()
    assert again.run.situation.results[Active("a", 1)].status == "waiting"
    settled = await again.settle()
    assert isinstance(settled, Settled)
    assert (settled.status, await statuses(db)) == ("completed", ["ended"])
