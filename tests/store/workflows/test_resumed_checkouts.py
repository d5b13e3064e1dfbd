"""What a resumed instance asks for anew: in the name of who resumes it, and not for them to decide on."""

import itertools
from typing import Any

import pytest

from agent.payloads import CommandPayload
from definitions.errors import Conflict, NotPermitted
from definitions.permissions import SYSTEM, Actor
from definitions.routing import Outcome
from store import approvals, checkout_requests, checkouts, instances, job_checkouts, jobs
from store.approvals import ApprovalDetail
from store.checkouts import Wanted
from store.jobs import NewJob
from tests.store.jobs.conftest import admin as admin
from tests.store.jobs.conftest import enrolled as enrolled
from tests.store.workflows.test_pam_requests import ASKED, OUT, USE
from tests.store.workflows.test_resume import Engine
from tests.store.workflows.test_vaults_and_identities import save_identity, save_vault


@pytest.fixture(autouse=True)
async def identity(org: Any) -> None:
    await save_vault(org)
    await save_identity(org)


async def failed_at(org: Any, step: str) -> int:
    """An instance that failed at that step; what it had checked out by then has ended with it."""
    look, tell = [{"id": name, "type": "command", "command": "true"} for name in ("look", "tell")]
    number = (await org.start(await org.publish([look, OUT, USE, tell]))).id
    engine = await Engine.take(org, number)
    for passed in itertools.takewhile(lambda passed: passed != step, ("look", "out", "use")):
        if passed == "out":
            async with org.db.transaction() as tx:
                asked = await checkouts.request(tx, Wanted(number, "out", 1, "db_admin", "dba", "upkeep", 5))
                await checkouts.approve(tx, asked.id)
        await engine.end(passed, Outcome.SUCCESS)
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


async def resumed(org: Any, by: Actor) -> ApprovalDetail:
    """The request that ana's instance opens for what it held, when somebody resumes it."""
    number = await failed_at(org, "use")
    await instances.resume(org.db, by, number)
    (request,) = (await instances.show(org.db, by, number)).approvals
    return await approvals.show(org.db, by, request.id)


async def test_neither_who_resumes_it_nor_who_started_it_decides(org: Any) -> None:
    await save_identity(org, **ASKED)
    request = await resumed(org, org.bo)
    assert [person.name for person in request.eligible] == ["cy", "di"]
    for person, why in ((org.bo, "You resumed this"), (org.ana, "You started this")):
        assert why in str((await approvals.show(org.db, person, request.id)).why_not)
        with pytest.raises(NotPermitted, match=f"{why}, and somebody else has to decide on it"):
            await approvals.vote(org.db, person, request.id, "approve", "", request.digest)
    await approvals.vote(org.db, org.cy, request.id, "approve", "", request.digest)
    assert await org.db.fetchval("SELECT status FROM checkouts ORDER BY id DESC LIMIT 1") == "active"


async def test_who_decides_sees_who_has_resumed_it(org: Any) -> None:
    await save_identity(org, **ASKED)
    request = await resumed(org, org.bo)
    assert (request.started_by_name, request.frozen["checkout"]["person"]) == ("ana", "bo")
    for person in (org.ana, org.bo):
        started = await approvals.listing(org.db, person, started=True)
        assert [row.id for row in started.items] == [request.id]


async def test_the_rule_may_let_them_decide(org: Any) -> None:
    await save_identity(org, **{**ASKED, "approval": {**ASKED["approval"], "allow_self": True}})
    assert len((await resumed(org, org.bo)).eligible) == 4


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"used_by": ["user:ana"]}, NotPermitted, "The identity db_admin is for user:ana"),
        (
            {**ASKED, "approval": {"approvers": ["user:ana", "user:bo"]}},
            Conflict,
            "other than who asks for it",
        ),
    ],
)
@pytest.mark.parametrize("step", ["look", "out", "use"])
async def test_who_could_not_check_out_what_it_wants_does_not_resume_it(
    org: Any, change: dict[str, Any], error: type[Exception], words: str, step: str
) -> None:
    number = await failed_at(org, step)
    await save_identity(org, **change)
    with pytest.raises(error, match=words):
        await instances.resume(org.db, org.bo, number)
    assert (await instances.show(org.db, org.bo, number)).status == "failed"


async def test_whom_the_identity_is_for_resumes_it_and_anybody_what_needs_it_no_more(org: Any) -> None:
    wants_it, needs_it_no_more = await failed_at(org, "use"), await failed_at(org, "tell")
    await save_identity(org, used_by=["user:cy"])
    await instances.resume(org.db, org.cy, wants_it)
    await instances.resume(org.db, org.bo, needs_it_no_more)
    people = await org.db.fetch("SELECT for_id FROM checkouts WHERE visit > 1")
    assert [row["for_id"] for row in people] == [org.cy.id]


async def test_what_its_steps_ask_for_from_then_on_is_asked_for_who_resumed_it_last(org: Any) -> None:
    await save_identity(org, **ASKED)
    number = await failed_at(org, "tell")
    for person in (org.cy, org.bo):
        await org.db.execute("UPDATE instances SET status = 'failed', ended_at = now()")
        await instances.resume(org.db, person, number)
    wanted = Wanted(number, "out", 9, "db_admin", "dba")
    async with org.db.transaction() as tx:
        asked = await checkouts.request(tx, wanted)
        request = await checkout_requests.ask(tx, asked, wanted)
    assert await org.db.fetchval("SELECT for_id FROM checkouts WHERE id = $1", asked.id) == org.bo.id
    eligible = (await approvals.show(org.db, org.cy, request)).eligible
    assert [person.name for person in eligible] == ["cy", "di"]


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


def runs_as(step: str, name: str = "dba", **more: Any) -> dict[str, Any]:
    return {"id": step, "type": "command", "command": "true", "run_as": f"{{{{{name}}}}}", **more}


FORKED: list[dict[str, Any]] = [
    {"id": "deploy", "type": "command", "command": "true", "on_success": "out", "on_failure": "out2"},
    OUT,
    runs_as("migrate", on_success="end"),
    {**OUT, "id": "out2"},
    runs_as("rollback", on_success="fail"),
]
"""Either way on from the first step checks the identity out by a step of its own."""


async def open_ones(org: Any) -> list[tuple[str, int, str]]:
    """What is checked out or asked for: the step, its visit, and how it stands."""
    rows = await org.db.fetch(
        """SELECT step_id, visit, status FROM checkouts WHERE status IN ('requested', 'active')
           ORDER BY id"""
    )
    return [tuple(row) for row in rows]


async def take(org: Any, engine: Engine, step: str, visit: int, name: str = "dba") -> None:
    """As its step does: the instance checks the identity out."""
    async with org.db.transaction() as tx:
        await checkouts.request(tx, Wanted(engine.instance_id, step, visit, "db_admin", name))
    await engine.end(step, Outcome.SUCCESS)


async def on_the_other_path(org: Any, *, in_time: bool) -> Engine:
    """An exclusive identity was held on the one path of a fork; resumed, the instance has taken the other."""
    await save_identity(org, exclusive=True)
    number = (await org.start(await org.publish(FORKED))).id
    engine = await Engine.take(org, number)
    await engine.end("deploy", Outcome.FAILURE)
    await take(org, engine, "out2", 1)
    if not in_time:
        await pass_its_time(org)
    await engine.end("rollback", Outcome.SUCCESS)
    await engine.leave()
    await instances.resume(org.db, org.ana, number)
    assert await open_ones(org) == []
    engine = await Engine.take(org, number)
    await engine.end("deploy", Outcome.SUCCESS)
    await take(org, engine, "out", 2)
    return engine


async def test_what_a_step_to_come_checks_out_itself_is_not_asked_for_ahead_of_it(org: Any) -> None:
    await on_the_other_path(org, in_time=True)
    assert await open_ones(org) == [("out", 2, "active")]


async def test_what_two_steps_held_and_is_exclusive_since_is_refused_in_words(org: Any) -> None:
    steps = [OUT, {**OUT, "id": "out2", "variable_name": "other"}, runs_as("use"), runs_as("last", "other")]
    number = (await org.start(await org.publish(steps))).id
    engine = await Engine.take(org, number)
    await take(org, engine, "out", 1)
    await take(org, engine, "out2", 1, "other")
    await engine.end("use", Outcome.FAILURE)
    await engine.leave()
    await save_identity(org, exclusive=True)
    with pytest.raises(Conflict, match="for each of the steps out and out2: it would wait"):
        await instances.resume(org.db, org.ana, number)
    await save_identity(org)
    await instances.resume(org.db, org.ana, number)
    assert await open_ones(org) == [("out", 2, "active"), ("out2", 2, "active")]


async def test_people_are_shown_what_runs_again_and_not_what_the_path_has_behind_it(org: Any) -> None:
    await save_identity(org, **ASKED)
    gate = {"id": "gate", "type": "approval", "approvers": ["role:approver"]}
    number = (await org.start(await org.publish([OUT, runs_as("use"), gate, runs_as("use2")]))).id
    engine = await Engine.take(org, number)
    wanted = Wanted(number, "out", 1, "db_admin", "dba")
    async with org.db.transaction() as tx:
        first = await checkout_requests.ask(tx, await checkouts.request(tx, wanted), wanted)
    request = await approvals.show(org.db, org.bo, first)
    assert [step.step for step in request.plan.steps] == ["use", "gate"]
    await approvals.vote(org.db, org.bo, first, "approve", "", request.digest)
    for passed in ("out", "use", "gate"):
        await engine.end(passed, Outcome.SUCCESS)
    await engine.end("use2", Outcome.FAILURE)
    await engine.leave()
    (again,) = (await instances.resume(org.db, org.ana, number)).approvals
    request = await approvals.show(org.db, org.bo, again.id)
    assert [(step.step, step.when) for step in request.plan.steps] == [("use2", "first")]
    assert request.plan.compared_with is not None
    assert (request.plan.compared_with.request_id, request.plan.gone) == (first, [])
    assert (request.frozen["goes_on"], request.frozen["step"]) == (["use2"], "out")


async def test_a_check_in_ends_what_was_asked_for_again_and_not_given_but_not_what_a_step_waits_for(
    org: Any,
) -> None:
    await save_identity(org, **ASKED)
    number = await failed_at(org, "use")
    await instances.resume(org.db, org.ana, number)
    async with org.db.transaction() as tx:
        await checkouts.request(tx, Wanted(number, "beside", 2, "db_admin"))
        await tx.execute(
            """INSERT INTO step_results (instance_id, step_id, visit, kind, name, status)
               VALUES ($1, 'beside', 2, 'pam_checkout', '', 'waiting')""",
            number,
        )
    async with org.db.transaction() as tx:
        assert await checkouts.end_of_steps(tx, number, "Checked in by step in.", []) == ["db_admin"]
    assert await open_ones(org) == [("beside", 2, "requested")]
    assert await job_checkouts.withdraw_moot(org.db) == 1
    assert (await instances.show(org.db, org.bo, number)).approvals == []


async def pass_its_time(org: Any) -> None:
    await org.db.execute("UPDATE checkouts SET deadline = now() WHERE status = 'active'")
    assert await checkouts.end_overdue(org.db) == 1


@pytest.mark.parametrize("ended_by", ["its time", "a person", "a check-in"])
async def test_what_ended_by_its_time_is_asked_for_again_but_not_what_somebody_ended(
    org: Any, ended_by: str
) -> None:
    # Not proved: `use` would run as what has been checked in.
    await org.publish_unproved([OUT, {"id": "in", "type": "pam_checkin"}, runs_as("use")])
    number = (await org.start("deploy")).id
    engine = await Engine.take(org, number)
    await take(org, engine, "out", 1)
    if ended_by == "a person":
        await checkouts.end_by_hand(org.db, SYSTEM, await org.db.fetchval("SELECT id FROM checkouts"))
    else:
        await pass_its_time(org)
    await engine.end("in", Outcome.SUCCESS)
    if ended_by == "a check-in":
        await org.db.execute(
            """UPDATE step_results SET kind = 'pam_checkin', input = '{"checkout": ["out"]}'
               WHERE step_id = 'in'"""
        )
    await engine.end("use", Outcome.FAILURE)
    await engine.leave()
    await instances.resume(org.db, org.ana, number)
    assert await open_ones(org) == ([("out", 2, "active")] if ended_by == "its time" else [])


async def test_what_ended_by_its_time_is_asked_for_at_every_resume_but_not_off_the_path(org: Any) -> None:
    engine = await on_the_other_path(org, in_time=False)
    number = engine.instance_id
    for visit in (3, 4):
        await pass_its_time(org)
        await engine.end("migrate", Outcome.FAILURE)
        await engine.leave()
        await instances.resume(org.db, org.ana, number)
        assert await open_ones(org) == [("out", visit, "active")]
        engine = await Engine.take(org, number)
