"""Workflows that check out: what is refused before they start, and requests that are no longer wanted."""

from typing import Any

import pytest

from definitions.errors import Conflict, Invalid, NotPermitted
from definitions.lifecycles.checkout import CheckoutStatus
from definitions.permissions import SYSTEM
from definitions.routing import Active
from store import approval_views, approvals, catalogue, checkout_requests, checkouts, instances
from store.checkouts import Wanted
from store.instance_cancel import stop_work
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
        request = await checkout_requests.ask(tx, asked, wanted)
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


async def does_not_start(
    org: Any, workflow: Any, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    """Once the identity has been changed, the workflow that wants it is refused, and nothing was made."""
    if "name" in change:
        await org.db.execute("UPDATE identities SET name = 'renamed'")
    else:
        await save_identity(org, **change)
    with pytest.raises(error, match=words):
        await org.start(workflow)
    assert await org.db.fetchval("SELECT count(*) FROM instances") == 0


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
    await does_not_start(org, workflow, change, error, words)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"used_by": ["user:bo"]}, NotPermitted, "is for user:bo"),
        ({**ASKED, "approval": {"approvers": ["user:ana"]}}, Conflict, "Nobody could decide"),
        ({"name": "renamed"}, Conflict, "The script of step 'tidy' runs as what is not there"),
    ],
)
async def test_what_the_script_of_a_step_could_not_run_as_does_not_start_either(
    org: Any, save_script: Any, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    script = await save_script(run_as="db_admin")
    workflow = await org.publish([{"id": "tidy", "type": "script", "script": script}])
    await does_not_start(org, workflow, change, error, words)


async def test_whom_a_script_runs_as_is_not_asked_where_its_step_says_whom(
    org: Any, save_script: Any
) -> None:
    await save_identity(org, name="other", used_by=["user:bo"])
    script = await save_script(run_as="other")
    step = {"id": "tidy", "type": "script", "script": script, "run_as": "{{dba}}"}
    await org.start(await org.publish([OUT, step]))


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


async def wait_for_it(org: Any) -> int:
    """An instance that runs and asks for the identity."""
    number = int((await org.start(await org.publish([OUT, USE]))).id)
    await org.db.execute("UPDATE instances SET status = 'running' WHERE id = $1", number)
    await org.db.execute(
        """INSERT INTO step_results (instance_id, step_id, visit, kind, name, status)
           VALUES ($1, 'out', 1, 'pam_checkout', 'Get in', 'waiting')""",
        number,
    )
    async with org.db.transaction() as tx:
        await checkouts.request(tx, Wanted(number, "out", 1, "db_admin", "dba"))
    return number


@pytest.mark.parametrize("before", [True, False])
async def test_an_instance_says_what_its_steps_hold_and_wait_for(org: Any, before: bool) -> None:
    await save_identity(org, exclusive=before)
    first = await wait_for_it(org)
    await save_identity(org, exclusive=True)
    second = await wait_for_it(org)
    held = (await instances.show(org.db, org.vi, first)).steps[0].checkout
    assert held is not None
    assert (held.identity, held.username, held.status, held.waits) == ("db_admin", "app", "active", None)
    waiting = await instances.show(org.db, org.vi, second)
    assert waiting.waits_for is not None
    assert waiting.waits_for.startswith(
        f"Get in: Waits until db_admin is free: instance {first} holds it, until"
    )


@pytest.mark.parametrize("exclusive", [True, False])
async def test_an_instance_says_that_the_credential_it_waits_for_is_being_replaced(
    org: Any, exclusive: bool
) -> None:
    await save_identity(org, rotate_after_use=True)
    holder, other = await wait_for_it(org), await wait_for_it(org)
    await save_identity(org, rotate_after_use=True, exclusive=exclusive)

    async def come_back(number: int) -> None:
        async with org.db.transaction() as tx:
            await checkouts.end_of_steps(tx, number, "Done.", [])

    await come_back(other)
    first, second = await wait_for_it(org), await wait_for_it(org)
    sentence = str((await instances.show(org.db, org.vi, first)).waits_for)
    assert f"is free: instance {holder} holds it, until " in sentence
    assert sentence.endswith(" UTC at the latest; its credential is replaced then.")
    await come_back(holder)
    sentence = str((await instances.show(org.db, org.vi, second)).waits_for)
    said = "Get in: Waits until db_admin is free: its credential is being replaced."
    assert sentence == said + (" 1 more comes first." if exclusive else "")
