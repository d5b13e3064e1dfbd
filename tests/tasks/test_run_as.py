"""Steps that run as an identity: their jobs name the checkout, and there are none once it has ended."""

from types import SimpleNamespace
from typing import Any

import pytest

from definitions.lifecycles.checkout import CheckoutStatus
from definitions.permissions import SYSTEM, Actor
from definitions.routing import Active
from definitions.variables import CheckoutFacts, StepFacts
from store import approvals, checkout_jobs, checkout_requests, checkouts, instances
from store.checkouts import Wanted
from store.connection import Database
from store.engine.situation import StepState
from tasks.step_run import Settled, Waiting
from tests.store.workflows.test_vaults_and_identities import save_identity, save_vault
from tests.tasks.conftest import Bench, MakeBench, hold_elsewhere

OVER = "Nothing runs as `dba` any more, its checkout has ended: "


@pytest.fixture(autouse=True)
async def identity(db: Database, admin: Actor) -> None:
    org = SimpleNamespace(db=db)
    await save_vault(org)
    await save_identity(org)


OUT = {"id": "out", "type": "pam_checkout", "identity": "db_admin", "variable_name": "dba"}
AGAIN = {**OUT, "id": "again"}


def after_checkouts(step: dict[str, Any]) -> list[dict[str, Any]]:
    return [OUT, AGAIN, step]


def in_a_branch(step: dict[str, Any]) -> list[dict[str, Any]]:
    """Beside a branch that checks out by the same name."""
    branches = [{"steps": [OUT, step]}, {"steps": [AGAIN]}]
    return [{"id": "p", "type": "parallel", "branches": branches}]


async def check_out(bench: Bench, step: str = "out", identity: str = "db_admin") -> int:
    """A checkout step has ended well before, its variable is `dba`."""
    situation = bench.run.situation
    async with bench.run.db.transaction() as tx:
        made = await checkouts.request(tx, Wanted(situation.instance_id, step, 1, identity, "dba"))
    facts = CheckoutFacts(
        id=made.id,
        names=("dba", identity),
        vault="main",
        path="p",
        username=f"user of {identity}",
        credential_type="database",
    )
    state = StepState("completed", "success", "", StepFacts(checkout=facts), None, None)
    situation.results[Active(step, 1)] = state
    return made.id


async def end(db: Database, checkout_id: int) -> None:
    async with db.transaction() as tx:
        assert await checkouts.check_in(tx, SYSTEM, checkout_id, "Ended by ann.")


async def move(db: Database, job_id: int, *statuses: str) -> None:
    """What its agent would say of a job; how it gets the credential is not the step's business."""
    for status in statuses:
        await db.execute(
            """UPDATE jobs SET status = $2, exit_code = CASE WHEN $2 = 'completed' THEN 0 END,
                   started_at = now(), ended_at = CASE WHEN $2 = 'completed' THEN now() END WHERE id = $1""",
            job_id,
            status,
        )


async def run_by(db: Database) -> list[Any]:
    return [row["checkout_id"] for row in await db.fetch("SELECT checkout_id FROM jobs ORDER BY id")]


@pytest.mark.parametrize("name", ["dba", "db_admin"])
async def test_every_job_of_the_step_names_the_checkout(bench: MakeBench, db: Database, name: str) -> None:
    step = await bench(after_checkouts, run_as=f"{{{{{name}}}}}")
    number = await check_out(step)
    assert isinstance(await step.begin(), Waiting)
    assert await run_by(db) == [number] * 3
    assert await db.fetchval("SELECT input ->> 'run_as' FROM step_results") == name


async def test_of_two_with_one_name_the_one_that_is_active_counts(bench: MakeBench, db: Database) -> None:
    step = await bench(after_checkouts, run_as="{{dba}}")
    first, second = await check_out(step), await check_out(step, "again")
    await end(db, second)
    await step.begin()
    assert await run_by(db) == [first] * 3


async def test_of_two_that_are_active_the_one_counts_that_had_the_name_last(
    bench: MakeBench, db: Database
) -> None:
    step = await bench(after_checkouts, run_as="{{dba}}")
    asked_first = await check_out(step)
    await check_out(step, "again")
    results = step.run.situation.results
    results[Active("out", 1)] = results.pop(Active("out", 1))  # of two branches, its people took longer
    await step.begin()
    assert await run_by(db) == [asked_first] * 3


async def test_a_name_means_whom_it_was_given_to_last_and_falls_back_to_nobody_else(
    bench: MakeBench, db: Database
) -> None:
    await save_identity(SimpleNamespace(db=db), name="bob")
    step = await bench(after_checkouts, run_as="{{dba}}")
    await check_out(step)
    bob = await check_out(step, "again", "bob")
    await db.execute("UPDATE checkouts SET deadline = now() WHERE id = $1", bob)
    settled = await step.begin()
    assert isinstance(settled, Settled)
    assert (settled.status, settled.reason, await run_by(db)) == ("failed", f"{OVER}Its time is over.", [])


@pytest.mark.parametrize("other", ["bob", "db_admin"])
async def test_what_a_branch_beside_has_checked_out_is_nobody_a_step_runs_as(
    bench: MakeBench, db: Database, other: str
) -> None:
    await save_identity(SimpleNamespace(db=db), name="bob")
    step = await bench(in_a_branch, run_as="{{dba}}", command="echo {{dba.username}}")
    own = await check_out(step)
    await check_out(step, "again", other)
    assert isinstance(await step.begin(), Waiting)
    assert await run_by(db) == [own] * 3
    sent = await db.fetchval("SELECT input -> 'environment' ->> 'OPSGATE_V1' FROM step_results")
    assert sent == "user of db_admin"


async def test_what_is_only_checked_out_in_a_branch_beside_is_not_known(
    bench: MakeBench, db: Database
) -> None:
    step = await bench(in_a_branch, run_as="{{dba}}")
    await check_out(step, "again")
    settled = await step.begin()
    assert isinstance(settled, Settled)
    assert (settled.status, await run_by(db)) == ("failed", [])
    assert settled.reason == "{{dba}} has no value: no identity of that name is checked out."


@pytest.mark.parametrize("way", ["ended", "late", "never"])
async def test_without_a_checkout_there_is_no_job_but_a_reason(
    bench: MakeBench, db: Database, way: str
) -> None:
    step = await bench(after_checkouts, run_as="{{dba}}")
    if way != "never":
        number = await check_out(step)
    if way == "ended":
        await end(db, number)
    if way == "late":
        await db.execute("UPDATE checkouts SET deadline = now()")
    settled = await step.begin()
    assert isinstance(settled, Settled)
    why = {
        "ended": f"{OVER}Ended by ann.",
        "late": f"{OVER}Its time is over.",
        "never": "{{dba}} has no value: no identity of that name is checked out.",
    }
    assert (settled.status, settled.reason, await run_by(db)) == ("failed", why[way], [])


async def test_a_host_of_a_later_wave_gets_no_job_by_a_checkout_that_has_ended(
    bench: MakeBench, db: Database
) -> None:
    step = await bench(after_checkouts, run_as="{{dba}}", max_parallel=1)
    number = await check_out(step)
    await step.begin()
    await move(db, await step.job_id("web-1"), "pending", "running", "completed")
    await end(db, number)
    settled = await step.settle()
    assert isinstance(settled, Settled)
    assert (settled.status, settled.reason, await run_by(db)) == ("failed", f"{OVER}Ended by ann.", [number])
    assert settled.facts is not None
    assert [host.exit_code for host in settled.facts.hosts] == [0, None, None]


async def test_when_a_checkout_ends_what_waits_by_it_fails_and_what_runs_is_stopped(
    bench: MakeBench, db: Database
) -> None:
    step = await bench(after_checkouts, run_as="{{dba}}")
    number = await check_out(step)
    await step.begin()
    await move(db, await step.job_id("web-1"), "pending", "running")
    await move(db, await step.job_id("web-2"), "pending")
    assert await checkout_jobs.end_without(db) == 0
    await end(db, number)
    assert await checkout_jobs.end_without(db) == 3
    assert await checkout_jobs.end_without(db) == 0, "what was told to stop is not told again"
    rows = await db.fetch(
        "SELECT status, reason, cancel_requested_at IS NOT NULL AS told FROM jobs ORDER BY id"
    )
    why = f"{OVER}Ended by ann.".replace("dba", "db_admin")
    assert [tuple(row.values()) for row in rows] == [
        ("running", why, True),
        ("failed", why, False),
        ("failed", why, False),
    ]


async def check_out_again(bench: Bench, visit: int = 2) -> int:
    """As resuming the instance does, of a workflow that has the checkout step."""
    async with bench.run.db.transaction() as tx:
        wanted = Wanted(bench.run.situation.instance_id, "out", visit, "db_admin", "dba")
        asked = await checkouts.request(tx, wanted)
        if asked.needs_approval:
            await checkout_requests.ask(tx, asked, wanted)
    return asked.id


async def ask_people(db: Database, admin: Actor) -> None:
    """From now on the identity takes the administrator's yes."""
    approval = {"approvers": [f"user:{admin.id}"]}
    await save_identity(SimpleNamespace(db=db), requires_approval=True, approval=approval)


async def test_a_step_of_a_resumed_instance_waits_until_people_let_it_in_again(
    bench: MakeBench, db: Database, admin: Actor
) -> None:
    step = await bench(after_checkouts, run_as="{{dba}}")
    await end(db, await check_out(step))
    await ask_people(db, admin)
    again = await check_out_again(step)
    waiting = await step.begin()
    assert isinstance(waiting, Waiting)
    assert (waiting.kind, waiting.sentence) == ("gate", "Waits for a decision: Check out db_admin")
    assert waiting.request_id is not None
    assert await db.fetchval("SELECT status FROM step_results") == "waiting"
    digest = (await approvals.show(db, admin, waiting.request_id)).digest
    await approvals.vote(db, admin, waiting.request_id, "approve", "", digest)
    at_work = await step.settle()
    assert isinstance(at_work, Waiting)
    assert (at_work.kind, await run_by(db)) == ("jobs", [again] * 3)
    assert await db.fetchval("SELECT status FROM step_results") == "running"


async def test_the_time_of_a_step_runs_while_it_waits_for_its_identity(
    bench: MakeBench, db: Database, admin: Actor
) -> None:
    step = await bench(after_checkouts, run_as="{{dba}}", timeout_minutes=5)
    await end(db, await check_out(step))
    await ask_people(db, admin)
    await check_out_again(step)
    waiting = await step.begin()
    assert isinstance(waiting, Waiting)
    assert waiting.wake_at is not None, "else nobody would look, once it is parked"
    shown = (await instances.show(db, admin, step.run.situation.instance_id)).waits_for
    assert shown is not None
    assert "a: waits until dba is checked out. It has time until 2" in shown
    await step.pass_time(minutes=5)
    settled = await step.settle()
    assert isinstance(settled, Settled)
    assert (settled.status, settled.reason) == ("failed", "It was not over within 5 minutes.")
    assert await run_by(db) == []


async def test_it_waits_for_its_turn_and_fails_when_it_is_denied(bench: MakeBench, db: Database) -> None:
    step = await bench(after_checkouts, run_as="{{dba}}")
    await end(db, await check_out(step))
    await save_identity(SimpleNamespace(db=db), exclusive=True)
    await hold_elsewhere(db, "db_admin")
    again = await check_out_again(step)
    waiting = await step.begin()
    assert isinstance(waiting, Waiting)
    assert (waiting.kind, waiting.sentence[:28]) == ("delay", "Waits until db_admin is free")
    async with db.transaction() as tx:
        await checkouts.refuse(tx, again, CheckoutStatus.DENIED, "Rejected.")
    settled = await step.settle()
    assert isinstance(settled, Settled)
    assert (settled.status, settled.reason) == ("failed", f"{OVER}Rejected.")
