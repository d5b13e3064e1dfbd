"""Steps whose script runs as an identity: by a checkout of their own, or by one that the instance has."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from definitions.permissions import SYSTEM, Actor
from definitions.script import Script
from store import approvals, checkout_jobs, job_checkouts, jobs, scripts, users
from store.connection import Database
from tasks.step_run import Settled, Waiting
from tests.store.workflows.test_vaults_and_identities import save_identity, save_vault
from tests.tasks.conftest import Bench, MakeBench
from tests.tasks.test_run_as import after_checkouts, check_out, in_a_branch

Begin = Callable[..., Awaitable[Bench]]


@pytest.fixture
async def tidy(db: Database, admin: Actor, bench: MakeBench) -> Begin:
    """Makes a step on three hosts that runs a script as `db_admin`; fields change the step."""
    org = SimpleNamespace(db=db)
    await save_vault(org)
    await save_identity(org)
    script = Script(name="tidy", language="bash", content="true", run_as="db_admin")
    number = (await scripts.put(db, SYSTEM, script))[0].id

    async def make(**fields: Any) -> Bench:
        hosts = ["web-1", "web-2", "web-3"]
        step = await bench(type="script", script=number, hosts=hosts, **fields)
        step.run.situation.pinned_scripts[number] = 1
        return step

    return make


async def run_by(db: Database) -> list[int]:
    rows = await db.fetch("SELECT DISTINCT checkout_id FROM jobs ORDER BY checkout_id")
    return [row["checkout_id"] for row in rows]


async def done(db: Database, end: str = "completed") -> None:
    """What their agents would say of the jobs there are; how they get the credential is not shown here."""
    for status in ("pending", "running", end):
        await db.execute(
            """UPDATE jobs SET status = $1, ended_at = CASE WHEN $1 = $2 THEN now() END
               WHERE status NOT IN ($1, $2)""",
            status,
            end,
        )


async def status(db: Database, checkout_id: int) -> str:
    return str(await db.fetchval("SELECT status FROM checkouts WHERE id = $1", checkout_id))


async def test_one_checkout_serves_all_its_waves_and_ends_with_the_step(tidy: Begin, db: Database) -> None:
    step = await tidy(max_parallel=1)
    assert isinstance(await step.begin(), Waiting)
    (checkout,) = await run_by(db)
    for _ in range(3):
        await done(db)
        assert await job_checkouts.end_unused(db) == 0
        settled = await step.settle()
    assert isinstance(settled, Settled)
    assert await run_by(db) == [checkout]
    assert await status(db, checkout) == "active"
    await step.close(settled)
    assert await job_checkouts.end_unused(db) == 1
    assert await status(db, checkout) == "ended"


async def test_one_that_the_instance_has_already_serves_them_and_stays(tidy: Begin, db: Database) -> None:
    step = await tidy(place=after_checkouts)
    held = await check_out(step)
    await step.begin()
    assert await run_by(db) == [held]
    await done(db)
    assert await job_checkouts.end_unused(db) == 0


@pytest.mark.parametrize("own", [False, True])
async def test_one_that_a_branch_beside_has_serves_none_of_them(tidy: Begin, db: Database, own: bool) -> None:
    step = await tidy(place=in_a_branch)
    held = await check_out(step) if own else None
    beside = await check_out(step, "again")
    await step.begin()
    (checkout,) = await run_by(db)
    assert checkout == held if own else checkout not in (held, beside)


async def test_who_started_and_who_resumed_the_instance_do_not_decide_on_what_its_scripts_run_as(
    tidy: Begin, db: Database, admin: Actor
) -> None:
    rule = {"requires_approval": True, "approval": {"approvers": ["role:admin"]}}
    await save_identity(SimpleNamespace(db=db), **rule)
    step = await tidy()
    dora = await users.create(db, SYSTEM, "dora", None, None, ["admin"])
    await db.execute(
        "UPDATE instances SET started_by = $1, started_by_name = 'dora', resumes = $2",
        dora.id,
        [{"by": admin.name, "by_id": admin.id}],
    )
    settled = await step.begin()
    assert isinstance(settled, Settled)
    assert "Nobody could decide at the checkout of 'db_admin'" in settled.reason
    bo = await users.create(db, SYSTEM, "bo", None, None, ["admin"])
    await step.begin()
    for person, did in ((await users.actor_of(db, dora.id), "started"), (admin, "resumed")):
        (row,) = (await approvals.listing(db, person, started=True)).items
        assert row.why_not == f"You {did} this, and somebody else has to decide on it."
    assert [(hand.name, hand.did) for hand in row.set_going] == [("dora", "started"), (admin.name, "resumed")]
    assert row.started_by_name == "dora"
    assert [each.id for each in (await approvals.show(db, admin, row.id)).eligible] == [bo.id]


async def test_who_started_the_instance_does_not_decide_when_somebody_else_has_a_job_tried_again(
    tidy: Begin, db: Database, admin: Actor
) -> None:
    step = await tidy()
    await step.begin()
    await db.execute("UPDATE instances SET started_by = $1", admin.id)
    await done(db, "failed")
    rule = {"requires_approval": True, "approval": {"approvers": ["role:admin"]}}
    await save_identity(SimpleNamespace(db=db), **rule)
    bo, cy = [await users.create(db, SYSTEM, name, None, None, ["admin"]) for name in ("bo", "cy")]
    await jobs.retry(db, await users.actor_of(db, bo.id), await step.job_id("web-1"))
    (row,) = (await approvals.listing(db, admin)).items
    assert [each.id for each in (await approvals.show(db, admin, row.id)).eligible] == [cy.id]


async def test_people_are_asked_for_all_its_hosts_and_their_no_fails_the_step(
    tidy: Begin, db: Database, admin: Actor
) -> None:
    await save_identity(
        SimpleNamespace(db=db), requires_approval=True, approval={"approvers": ["role:admin"]}
    )
    step = await tidy(max_parallel=1, max_failures=1)
    await step.begin()
    assert (await step.agents["web-1"].poll()).jobs == []
    (row,) = (await approvals.listing(db, admin, mine=True)).items
    request = await approvals.show(db, admin, row.id)
    assert request.frozen["hosts"] == ["web-1", "web-2", "web-3"]
    await approvals.vote(db, admin, request.id, "reject", "", request.digest)
    await checkout_jobs.end_without(db)
    settled = await step.settle()
    assert isinstance(settled, Settled)
    assert settled.status == "failed"
    assert "It may not run as `db_admin`: " in settled.reason
