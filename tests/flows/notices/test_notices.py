"""Notices end to end: from a fact in the store to a real mail server and a real webhook."""

import asyncio

import pytest

from definitions.permissions import SYSTEM
from flows.notices import round_of
from flows.process import EngineProcess
from store import approvals, notices
from tests.flows.notices.conftest import all_due, sent, tells, vote
from tests.live.sinks import Mailbox, Webhook, text_of
from tests.store.workflows.conftest import Org

HERE = ["127.0.0.0/8", "::1/128"]


async def test_who_is_asked_is_told_by_mail_and_the_roles_room_by_webhook(
    org: Org, process: EngineProcess, webhook: Webhook, mailbox: Mailbox
) -> None:
    await tells(process, org.bo, mailbox.url("bo@example.org"))
    await tells(process, org.vi, mailbox.url("vi@example.org"))
    await tells(process, SYSTEM, webhook.url(), role="approver")
    await tells(process, SYSTEM, webhook.url("viewers"), role="viewer")
    request = await org.gated(timeout_minutes=60)
    assert await round_of(process) == 2
    assert [mail["To"] for mail in mailbox.mails] == ["bo@example.org"]
    assert mailbox.mails[0]["Subject"] == "Approval needed: Deploy?"
    read = text_of(mailbox.mails[0])
    for part in (f"#{request.instance_id}, started by ana, for 1 host", "counts as rejected"):
        assert part in read
    assert f"https://ops.example.org/approvals/{request.id}" in read
    (call,) = webhook.calls
    assert (call.method, call.path, call.title) == ("POST", "/hook", "Approval needed: Deploy?")
    assert {row.state for row in await sent(process)} == {"sent"}


async def test_a_notice_counts_the_hosts_that_a_yes_reaches(
    org: Org, process: EngineProcess, webhook: Webhook
) -> None:
    await tells(process, org.bo, webhook.url())
    gate = {"id": "gate", "type": "approval", "approvers": ["bo"]}
    both = {"id": "both", "type": "command", "command": "true", "hosts": ["web-1", "web-2"]}
    await org.publish([gate, both])
    await org.open_gate(await org.start("deploy"))
    await round_of(process)
    assert "for 2 hosts" in webhook.calls[0].message


async def test_one_address_is_told_once_whoever_names_it_and_however_many_keepers_there_are(
    org: Org, process: EngineProcess, webhook: Webhook
) -> None:
    await tells(process, org.bo, webhook.url())
    await tells(process, org.bo, webhook.url(), "the same again")
    await tells(process, SYSTEM, webhook.url(), role="approver")
    await tells(process, SYSTEM, webhook.url(), role="operator")
    await org.gated(approvers=["role:approver", "role:operator", "user:bo"])
    await asyncio.gather(*(round_of(process) for _ in range(3)))
    await round_of(process)
    assert len(webhook.calls) == 1


async def test_a_channel_hears_of_what_it_has_chosen_only(
    org: Org, process: EngineProcess, webhook: Webhook
) -> None:
    await tells(process, org.bo, webhook.url("end"), events=["approval.decided"])
    request = await org.gated()
    await round_of(process)
    assert webhook.calls == []
    await vote(org, request, org.cy)
    await round_of(process)
    assert [call.title for call in webhook.calls] == ["Approved: Deploy?"]


async def test_before_the_deadline_who_has_not_voted_is_reminded(
    org: Org, process: EngineProcess, webhook: Webhook
) -> None:
    for who in (org.bo, org.cy):
        await tells(process, who, webhook.url(who.name), events=["approval.reminder"])
    request = await org.gated(approval_type="two_of_many", timeout_minutes=60)
    await round_of(process)
    assert webhook.calls == [], "it is not time yet"
    await vote(org, request, org.bo)
    await all_due(process)
    await round_of(process)
    assert [(call.path, call.title) for call in webhook.calls] == [("/cy", "Still to be decided: Deploy?")]


async def test_nobody_is_reminded_of_what_is_decided(
    org: Org, process: EngineProcess, webhook: Webhook
) -> None:
    await tells(process, org.bo, webhook.url(), events=["approval.reminder", "approval.asked"])
    await vote(org, await org.gated(timeout_minutes=60), org.cy)
    await all_due(process)
    assert await round_of(process) == 0


async def test_of_the_end_who_started_it_hears_too(
    org: Org, process: EngineProcess, webhook: Webhook
) -> None:
    await tells(process, org.ana, webhook.url())
    alone = await org.gated(approvers=["user:bo"], approval_type="singular")
    await vote(org, alone, org.bo, "reject")
    late = await org.gated(timeout_minutes=60)
    await org.db.execute("UPDATE approval_requests SET deadline = now() WHERE id = $1", late.id)
    await approvals.expire_due(org.db)
    await round_of(process)
    assert sorted(call.title for call in webhook.calls) == ["Expired: Deploy?", "Rejected: Deploy?"]


async def test_a_failed_instance_is_told_to_who_started_it_and_to_the_room_of_a_role(
    org: Org, process: EngineProcess, webhook: Webhook
) -> None:
    await tells(process, org.ana, webhook.url("ana"))
    await tells(process, org.bo, webhook.url("bo"))
    await tells(process, SYSTEM, webhook.url("room"), role="viewer", events=["instance.failed"])
    started = await org.start(await org.publish([{"id": "a", "type": "delay", "seconds": 1}]))
    async with org.db.transaction() as tx:
        await notices.tell(tx, "instance.failed", started.id)
    await round_of(process)
    assert sorted(call.path for call in webhook.calls) == ["/ana", "/room"]
    assert webhook.calls[0].title == f"Failed: deploy #{started.id}"
    assert f"/instances/{started.id}" in webhook.calls[0].message


@pytest.mark.parametrize(
    "lose",
    ["DELETE FROM user_roles WHERE user_id = $1", "UPDATE users SET disabled_at = now() WHERE id = $1"],
    ids=["role", "account"],
)
async def test_who_could_not_see_the_page_any_more_is_told_nothing(
    org: Org, process: EngineProcess, webhook: Webhook, lose: str
) -> None:
    await tells(process, org.bo, webhook.url())
    await org.gated()
    await org.db.execute(lose, org.bo.id)
    assert await round_of(process) == 0
