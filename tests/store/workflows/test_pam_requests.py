"""Workflows that check out: what is refused before they start, and requests that are no longer wanted."""

from typing import Any

import pytest

from agent.payloads import CommandPayload
from definitions.errors import Conflict, Invalid, NotPermitted
from definitions.lifecycles.checkout import CheckoutStatus
from definitions.permissions import SYSTEM
from definitions.routing import Active, Outcome
from store import approval_views, approvals, catalogue, checkout_requests, checkouts, instances, jobs
from store.checkouts import Wanted
from store.instance_cancel import stop_work
from store.jobs import NewJob
from tests.store.jobs.conftest import admin as admin
from tests.store.jobs.conftest import enrolled as enrolled
from tests.store.workflows.test_resume import Engine
from tests.store.workflows.test_vaults_and_identities import save_identity, save_vault

OUT: dict[str, Any] = {"id": "out", "type": "pam_checkout", "identity": "db_admin", "variable_name": "dba"}
USE: dict[str, Any] = {
    "id": "use",
    "type": "command",
    "command": "echo {{dba.username}}",
    "run_as": "{{dba}}",
}
ASKED = {"requires_approval": True, "approval": {"approvers": ["role:approver"], "timeout_minutes": 5}}


@pytest.fixture(autouse=True)
async def identity(org: Any) -> None:
    await save_vault(org)
    await save_identity(org)


async def open_checkout(org: Any) -> tuple[int, int]:
    """The checkout of a started instance, asked for as the engine does it, and its request."""
    await save_identity(org, **ASKED)
    instance = (await org.start(await org.publish([OUT, USE]))).id
    wanted = Wanted(instance, "out", 1, "db_admin", "dba")
    async with org.db.transaction() as tx:
        asked = await checkouts.request(tx, wanted)
        request = await checkout_requests.ask(tx, asked, wanted, started_by=org.ana.id)
    return asked.id, request


async def status(org: Any, checkout: int) -> str:
    return str(await org.db.fetchval("SELECT status FROM checkouts WHERE id = $1", checkout))


async def test_publishing_asks_whether_the_identity_is_there(org: Any) -> None:
    with pytest.raises(Invalid) as refused:
        await org.publish([{**OUT, "identity": "nobody"}])
    assert "out-of-sight" in {problem.code for problem in refused.value.problems}, "ana may not see which"
    assert (await catalogue.load(org.db)).identity("db_admin") is not None
    assert catalogue.seen_by(org.ana, await catalogue.load(org.db)).identities is None
    await org.publish([OUT, USE])


async def test_an_identity_named_by_its_id_is_published_by_its_name(org: Any) -> None:
    number = await org.db.fetchval("SELECT id FROM identities")
    await org.publish([{**OUT, "identity": number}, USE])
    stored = "SELECT definition #>> '{steps,0,identity}' FROM workflow_versions"
    assert await org.db.fetchval(stored) == "db_admin"


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"used_by": ["user:bo"]}, NotPermitted, "is for user:bo"),
        (
            {**ASKED, "approval": {"approvers": ["user:ana"]}},
            Conflict,
            "Nobody could decide at the checkout of",
        ),
        ({"name": "renamed"}, Conflict, "Step 'out' checks out what is not there"),
    ],
)
async def test_what_could_not_be_checked_out_does_not_start(
    org: Any, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    workflow = await org.publish([OUT, USE])
    if "name" in change:
        await org.db.execute("UPDATE identities SET name = 'renamed'")
    else:
        await save_identity(org, **change)
    with pytest.raises(error, match=words):
        await org.start(workflow)
    assert await org.db.fetchval("SELECT count(*) FROM instances") == 0


async def test_who_approves_sees_whose_credential_it_is_and_what_runs_then(org: Any) -> None:
    _, request = await open_checkout(org)
    shown = await approvals.show(org.db, org.bo, request)
    assert (shown.kind, shown.step_id, shown.may_decide) == ("pam", "out", True)
    (use,) = shown.plan.steps
    assert (use.step, use.values["run as"][0].unknown) == ("use", "known when `dba` is checked out")


async def test_a_yes_makes_it_active_in_the_transaction_of_the_vote(org: Any) -> None:
    checkout, request = await open_checkout(org)
    digest = (await approvals.show(org.db, org.bo, request)).digest
    seq = await org.db.fetchval("SELECT wake_seq FROM instances")
    await approvals.vote(org.db, org.bo, request, "approve", "", digest)
    assert await status(org, checkout) == "active"
    assert await org.db.fetchval("SELECT wake_seq FROM instances") > seq


async def test_it_is_withdrawn_with_the_step_or_the_instance_that_wanted_it(org: Any) -> None:
    checkout, request = await open_checkout(org)
    number = await org.db.fetchval("SELECT id FROM instances")
    async with org.db.transaction() as tx:
        await stop_work(tx, number, "Given up.", SYSTEM, [Active("other", 1)])
        assert await tx.fetchval("SELECT status FROM checkouts") == CheckoutStatus.REQUESTED
        await stop_work(tx, number, "Given up.", SYSTEM, [Active("out", 1)])
        assert (await approval_views.one(tx, org.bo, request)).status == "withdrawn"
    assert await status(org, checkout) == "ended"
    assert await org.db.fetchval("SELECT end_reason FROM checkouts") == "Given up."


async def test_cancelling_ends_what_is_asked_for_and_what_a_yes_would_come_too_late_for(org: Any) -> None:
    checkout, request = await open_checkout(org)
    number = await org.db.fetchval("SELECT id FROM instances")
    await org.db.execute("UPDATE instances SET status = 'running' WHERE id = $1", number)
    await instances.cancel(org.db, org.ana, number)
    assert await status(org, checkout) == "ended"
    digest = (await approvals.show(org.db, org.bo, request)).digest
    with pytest.raises(Conflict, match="withdrawn already"):
        await approvals.vote(org.db, org.bo, request, "approve", "", digest)


async def test_an_instance_says_what_its_steps_hold_and_wait_for(org: Any) -> None:
    await save_identity(org, exclusive=True)
    first, second = [(await org.start(await org.publish([OUT, USE]))).id for _ in range(2)]
    for number in (first, second):
        await org.db.execute("UPDATE instances SET status = 'running' WHERE id = $1", number)
        await org.db.execute(
            """INSERT INTO step_results (instance_id, step_id, visit, kind, name, status)
               VALUES ($1, 'out', 1, 'pam_checkout', 'Get in', 'waiting')""",
            number,
        )
        async with org.db.transaction() as tx:
            await checkouts.request(tx, Wanted(number, "out", 1, "db_admin", "dba"))
    held = (await instances.show(org.db, org.vi, first)).steps[0].checkout
    assert held is not None
    assert (held.identity, held.username, held.status, held.waits) == ("db_admin", "app", "active", None)
    waiting = await instances.show(org.db, org.vi, second)
    assert waiting.waits_for is not None
    assert waiting.waits_for.startswith(
        f"Get in: Waits until db_admin is free: instance {first} holds it, until"
    )


async def failed_at(org: Any, step: str) -> int:
    """An instance that has checked out and failed at that step; what it held has ended with it."""
    tell = {"id": "tell", "type": "command", "command": "true"}
    number = (await org.start(await org.publish([OUT, USE, tell]))).id
    engine = await Engine.take(org, number)
    async with org.db.transaction() as tx:
        asked = await checkouts.request(tx, Wanted(number, "out", 1, "db_admin", "dba", "upkeep", 5))
        await checkouts.approve(tx, asked.id)
    for passed in ("out", "use"):
        if passed != step:
            await engine.end(passed, Outcome.SUCCESS)
        else:
            break
    await engine.end(step, Outcome.FAILURE)
    await engine.leave()
    return int(number)


@pytest.mark.parametrize("asks", [False, True])
async def test_an_instance_that_is_resumed_asks_again_for_what_it_held(org: Any, asks: bool) -> None:
    await save_identity(org, **(ASKED if asks else {}))
    number = await failed_at(org, "use")
    await instances.resume(org.db, org.ana, number)
    rows = await org.db.fetch(
        "SELECT status, visit, variable_name, reason, minutes FROM checkouts ORDER BY id"
    )
    same = ("dba", "upkeep", 5)
    assert [tuple(row) for row in rows] == [
        ("ended", 1, *same),
        ("requested" if asks else "active", 2, *same),
    ]
    open_ones = (await instances.show(org.db, org.bo, number)).approvals
    assert [(request.kind, request.step_id) for request in open_ones] == ([("pam", "out")] if asks else [])


async def test_it_does_not_ask_for_what_no_step_to_come_runs_as(org: Any) -> None:
    await instances.resume(org.db, org.ana, await failed_at(org, "tell"))
    assert await org.db.fetchval("SELECT count(*) FROM checkouts") == 1


@pytest.mark.parametrize("at_its_step", [False, True])
async def test_while_people_are_asked_again_only_what_runs_as_the_identity_is_held(
    org: Any, enrolled: Any, at_its_step: bool
) -> None:
    agent = await enrolled("db-1")
    await save_identity(org, **ASKED)
    number = await failed_at(org, "use")
    await instances.resume(org.db, org.ana, number)
    if at_its_step:  # its path has come there in this visit: now it is a gate as any other
        await org.db.execute(
            """INSERT INTO step_results (instance_id, step_id, visit, kind, name, status)
               VALUES ($1, 'out', 2, 'pam_checkout', '', 'waiting')""",
            number,
        )
    asked = await org.db.fetchval("SELECT id FROM checkouts WHERE status = 'requested'")
    plain = NewJob("command", agent.actor.host_id, CommandPayload(command="true"), 2)
    async with org.db.transaction() as tx:
        (other,) = await jobs.insert(tx, "ana", org.ana.id, [plain], number, "tell", 2)
        as_it = [plain._replace(checkout_id=asked)]
        await jobs.insert(tx, "ana", org.ana.id, as_it, number, "use", 2)
    claimed = [job.job_id for job in (await agent.poll(slots=2)).jobs]
    assert claimed == ([] if at_its_step else [other])


@pytest.mark.parametrize("denied", [False, True])
async def test_what_was_asked_for_again_and_not_given_is_asked_for_at_the_next_resume(
    org: Any, denied: bool
) -> None:
    await save_identity(org, **ASKED)
    number = await failed_at(org, "use")
    await instances.resume(org.db, org.ana, number)
    if denied:
        (request,) = (await instances.show(org.db, org.bo, number)).approvals
        digest = (await approvals.show(org.db, org.bo, request.id)).digest
        for person in (org.bo, org.cy, org.di):
            await approvals.vote(org.db, person, request.id, "reject", "", digest)
    engine = await Engine.take(org, number)
    await engine.end("use", Outcome.FAILURE)
    await engine.leave()
    await instances.resume(org.db, org.ana, number)
    rows = await org.db.fetch("SELECT visit, status FROM checkouts ORDER BY id")
    second = "denied" if denied else "ended"
    assert [tuple(row) for row in rows] == [(1, "ended"), (2, second), (3, "requested")]
