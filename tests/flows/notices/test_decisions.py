"""What Prefect is told of a decision. That it shows it: tests/acceptance/test_decisions_in_prefect.py."""

import re
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from definitions.permissions import SYSTEM, Actor
from flows import decisions
from flows.process import EngineProcess
from store import approvals, outbox
from store.engine import decisions as decided
from tests.store.workflows.conftest import Org

SITE = "https://ops.example.org"


async def vote(org: Org, request: Any, actor: Actor, decision: Any = "approve", comment: str = "") -> None:
    await approvals.vote(org.db, actor, request.id, decision, comment, request.digest)


async def told(org: Org, request: Any) -> str:
    found = await decided.read(org.db, request.id)
    assert found is not None
    return decisions.text(found, SITE)


async def errands(org: Org) -> list[outbox.Errand]:
    return await outbox.due(org.db, "show_decision")


async def test_it_says_who_decided_and_how_many_of_how_many(org: Org) -> None:
    request = await org.gated(approval_type="two_of_many")
    await vote(org, request, org.bo)
    assert await errands(org) == []
    await vote(org, request, org.cy)
    assert [errand.payload for errand in await errands(org)] == [{"request_id": request.id}]
    text = await told(org, request)
    assert "Approved: 2 of 3 said yes; 2 approvals were needed." in text
    assert re.findall(r"^\| (\w+) \| yes \| [-\d]{10} [:\d]{8} UTC \|$", text, re.MULTILINE) == ["bo", "cy"]
    assert f"[approval {request.id} in Opsgate]({SITE}/approvals/{request.id})" in text
    assert f"instance {request.instance_id}" in text


async def test_what_people_wrote_stays_here(org: Org) -> None:
    request = await org.gated()
    await vote(org, request, org.bo, "approve", "the password is hunter2")
    assert "hunter2" in (await approvals.show(org.db, org.bo, request.id)).decision_reason
    assert "hunter2" not in await told(org, request)


async def test_a_deadline_that_passed_is_a_decision_and_a_withdrawal_is_none(org: Org) -> None:
    late = await org.gated(timeout_minutes=5)
    await org.db.execute("UPDATE approval_requests SET deadline = now() WHERE id = $1", late.id)
    await approvals.expire_due(org.db)
    text = await told(org, late)
    assert "Nobody decided before the deadline" in text
    assert "Nobody voted" in text
    gone = await org.gated()
    async with org.db.transaction() as tx:
        assert gone.instance_id is not None
        await approvals.withdraw_all(tx, gone.instance_id, "Cancelled.", SYSTEM)
    assert await decided.read(org.db, gone.id) is None
    assert len(await errands(org)) == 1


async def test_a_title_makes_neither_links_nor_tables(org: Org) -> None:
    workflow = await org.publish([{"id": "gate", "type": "approval", "approvers": ["role:approver"]}])
    title = "a | b\n|---|---|\n[Approve](https://evil.test) <https://evil.test> www.evil.test **b**"
    request = await org.open_gate(await org.start(workflow), title=title)
    await vote(org, request, org.bo)
    text = await told(org, request)
    assert re.findall(r"(?<!\\)\[.*?\]\(", text) == [f"[approval {request.id} in Opsgate]("]
    assert re.findall(r"https?://[^/]*|www\.", text) == [SITE]
    assert len(re.findall(r"^\|", text, re.MULTILINE)) == 3, "the head of our table, and one vote"


async def test_while_prefect_is_away_it_waits_for_its_turn(org: Org, process: EngineProcess) -> None:
    for _ in range(2):
        request = await org.gated()
        await org.db.execute(
            "UPDATE instances SET flow_run_id = gen_random_uuid() WHERE id = $1", request.instance_id
        )
        await vote(org, request, org.bo)
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        async with PrefectClient(process.settings.prefect_api_url) as client:
            assert await decisions.round_of(process, client) == 1, "the other is not even tried"
    rows = await org.db.fetch(
        "SELECT attempts FROM outbox WHERE kind = 'show_decision' AND done_at IS NULL ORDER BY id"
    )
    assert [row["attempts"] for row in rows] == [1, 0]
