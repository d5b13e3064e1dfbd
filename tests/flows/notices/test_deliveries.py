"""What a notice meets on its way: servers that are away, slow or not to be spoken to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest

from definitions.errors import Conflict, RateLimited
from definitions.notices import MOST_TRIES
from flows.notices import round_of
from flows.process import EngineProcess
from flows.settings import networks
from store import notice_channels, notice_deliveries, notices
from tasks.courier import AT_ONCE, REFUSED_ADDRESS, leads_home
from tasks.notices import CUT_OFF, Letter, deliver
from tests.flows.notices.conftest import all_due, sent, tells
from tests.live.sinks import Mailbox, Webhook
from tests.store.workflows.conftest import Org

HERE = ["127.0.0.0/8", "::1/128"]


async def test_a_notice_waits_for_a_server_that_is_away_and_comes_once(
    org: Org, process: EngineProcess, mailbox: Mailbox
) -> None:
    await tells(process, org.bo, mailbox.url("bo@example.org"))
    await mailbox.down()
    await org.gated()
    await round_of(process)
    (waiting,) = await sent(process)
    assert (waiting.state, waiting.attempts) == ("waiting", 1)
    assert waiting.last_error == "The service was not reached, or did not take it."
    assert await round_of(process) == 0, "it is not tried again at once"
    await mailbox.up()
    await all_due(process)
    assert await round_of(process) == 1
    await all_due(process)
    assert await round_of(process) == 0
    assert len(mailbox.mails) == 1


async def test_what_fails_too_often_is_given_up_and_tried_again_when_somebody_says_so(
    org: Org, process: EngineProcess, webhook: Webhook
) -> None:
    channel = await tells(process, org.bo, webhook.url())
    await notice_channels.try_out(org.db, org.bo, channel)
    webhook.status = 403
    await org.db.execute("UPDATE notice_deliveries SET attempts = $1", MOST_TRIES - 2)
    for state in ("waiting", "dead", "dead"):
        await all_due(process)
        await round_of(process)
        (row,) = (await notice_deliveries.listing(org.db, org.bo)).items
        assert (row.state, row.last_error) == (state, "The service answered 403.")
    assert len(webhook.calls) == 2
    webhook.status = 204
    await notice_deliveries.retry(org.db, org.bo, row.id)
    assert await round_of(process) == 1
    assert [row.state for row in await sent(process)] == ["sent"]


async def test_a_notice_whose_answer_was_lost_comes_again(
    org: Org, process: EngineProcess, webhook: Webhook
) -> None:
    channel = await tells(process, org.bo, webhook.url())
    await notice_channels.try_out(org.db, org.bo, channel)
    assert len(await notices.take_due(org.db)) == 1  # and the worker dies
    assert await round_of(process) == 0, "it may still be at it"
    await all_due(process)
    assert await round_of(process) == 1
    assert [row.attempts for row in await sent(process)] == [2]


async def test_a_channel_that_does_not_answer_holds_up_none_of_the_others(
    org: Org, process: EngineProcess, webhook: Webhook
) -> None:
    async with Webhook() as gone:
        pass
    await tells(process, org.bo, gone.url(), "gone")
    await tells(process, org.cy, webhook.url())
    await org.gated()
    await round_of(process)
    assert len(webhook.calls) == 1


async def test_without_the_key_nothing_is_sent_and_it_is_said_why(
    org: Org, process: EngineProcess, webhook: Webhook
) -> None:
    channel = await tells(process, org.bo, webhook.url())
    await notice_channels.try_out(org.db, org.bo, channel)
    org.db.keys = None
    await round_of(process)
    (row,) = await sent(process)
    assert "OPSGATE_SEALING_KEY_FILE" in (row.last_error or "")
    assert webhook.calls == []


async def test_no_notice_goes_to_the_server_itself_unless_that_is_allowed(
    org: Org, process: EngineProcess, webhook: Webhook, mailbox: Mailbox
) -> None:
    process.settings = process.settings.model_copy(update={"notice_networks": []})
    by_name = webhook.url().replace("127.0.0.1", "localhost")
    for number, url in enumerate((webhook.url(), by_name, mailbox.url("bo@example.org"))):
        await tells(process, org.bo, url, f"channel {number}")
    await org.gated()
    await round_of(process)
    rows = await sent(process)
    assert len(rows) == 3
    assert {row.last_error for row in rows} == {REFUSED_ADDRESS}
    assert webhook.calls == []
    assert mailbox.mails == []


async def test_a_webhook_leads_nowhere_else(org: Org, process: EngineProcess, webhook: Webhook) -> None:
    await tells(process, org.bo, webhook.url())
    webhook.status, webhook.headers = 307, "Location: /elsewhere\r\n"
    await org.gated()
    await round_of(process)
    assert [call.path for call in webhook.calls] == ["/hook"]
    assert [row.last_error for row in await sent(process)] == ["The service answered 307."]


@asynccontextmanager
async def hanging() -> AsyncIterator[tuple[str, asyncio.Queue[asyncio.StreamReader]]]:
    """A service that takes connections, and says nothing."""
    opened: asyncio.Queue[asyncio.StreamReader] = asyncio.Queue()
    held: list[asyncio.StreamWriter] = []

    def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        opened.put_nowait(reader)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    yield f"mailto://127.0.0.1:{server.sockets[0].getsockname()[1]}?from=a@b.org&to=c@d.org", opened
    for writer in held:
        writer.close()
    server.close()


async def test_a_service_that_hangs_is_left_alone() -> None:
    async with hanging() as (url, _):
        found = await deliver([Letter(id=7, url=url, title="t", body="b")], allowed=HERE, each=2)
    assert found == {7: "The service did not answer within 2 seconds."}


async def test_services_that_hang_hold_up_nobody_elses_notice_and_cost_no_try_of_those_not_begun(
    webhook: Webhook,
) -> None:
    last = Letter(id=99, url=webhook.url(), title="t", body="b")
    async with hanging() as (url, _):
        slow = [Letter(id=number, url=url, title="t", body="b") for number in range(1, AT_ONCE + 1)]
        found = await deliver([*slow, last], allowed=HERE, each=1)
        assert found[99] is None
        cut = await deliver([*slow, last], allowed=HERE, each=60, seconds=8)
    assert len(webhook.calls) == 1
    assert 99 not in cut, "it was not begun"
    assert set(cut.values()) == {CUT_OFF}


async def test_a_courier_that_can_not_start_is_not_a_service_that_does_not_answer(
    org: Org, process: EngineProcess, webhook: Webhook, tmp_path: Path
) -> None:
    broken = tmp_path / "courier.py"
    broken.write_text("import nothing_of_this_name")
    letter = Letter(id=7, url=webhook.url(), title="t", body="b")
    assert await deliver([letter], allowed=HERE, courier=broken) == {}
    await notice_channels.try_out(org.db, org.bo, await tells(process, org.bo, webhook.url()))
    (parcel,) = await notices.take_due(org.db)
    await notices.give_back(org.db, parcel)
    assert await org.db.fetchval("SELECT attempts FROM notice_deliveries") == 0


async def test_one_channel_takes_no_more_than_its_share_of_a_batch(
    org: Org, process: EngineProcess, webhook: Webhook
) -> None:
    channel = await tells(process, org.bo, webhook.url())
    await org.db.execute(
        """INSERT INTO notice_deliveries (channel_id, event, mark, title, body)
           SELECT $1, 'x#' || n, '', 't', 'b' FROM generate_series(1, 9) n""",
        channel,
    )
    assert [len(await notices.take_due(org.db)) for _ in range(3)] == [4, 4, 1]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200", "0.0.0.0",
        "224.0.0.1", "fd00:ec2::254", "::1", "fe80::1%eth0", "::ffff:10.0.0.1", "64:ff9b::a00:1",
        "2002:a00:1::", "somewhere",
    ],
)  # fmt: skip
def test_notices_go_to_public_addresses_only_unless_others_are_allowed(address: str) -> None:
    assert leads_home(address)
    assert not leads_home("93.184.216.34")
    assert not leads_home("10.1.2.3", [ip_network("10.1.0.0/16")])


def test_networks_are_given_as_a_list_or_by_commas() -> None:
    assert networks("10.1.0.0/16, ::1") == networks(["10.1.0.0/16", "::1"]) == ["10.1.0.0/16", "::1/128"]
    with pytest.raises(ValueError, match="host bits"):
        networks("10.1.0.1/16")


async def test_a_person_has_a_few_channels_and_tries_them_out_now_and_then(
    org: Org, process: EngineProcess, webhook: Webhook
) -> None:
    made = [await tells(process, org.bo, webhook.url(), f"c{n}") for n in range(notice_channels.MOST_OWN)]
    with pytest.raises(Conflict, match="remove one first"):
        await tells(process, org.bo, webhook.url(), "one more")
    for number in range(notice_channels.MOST_TESTS):
        await notice_channels.try_out(org.db, org.bo, made[number % len(made)])
    with pytest.raises(RateLimited):
        await notice_channels.try_out(org.db, org.bo, made[0])


async def test_a_worker_that_is_asked_to_end_does_not_wait_for_a_service() -> None:
    async with hanging() as (url, opened):
        sending = asyncio.create_task(deliver([Letter(id=7, url=url, title="t", body="b")], allowed=HERE))
        connection = await asyncio.wait_for(opened.get(), 60)
        sending.cancel()
        assert await asyncio.wait_for(connection.read(), 10) == b"", "the courier is gone"
        with pytest.raises(asyncio.CancelledError):
            await sending


async def test_an_address_that_its_service_does_not_understand_is_named_as_such() -> None:
    found = await deliver([Letter(id=1, url="slack://x", title="t", body="b")], allowed=HERE)
    assert found == {1: "The address is not understood by the service it names."}


async def test_the_address_is_nowhere_in_the_clear(
    org: Org, process: EngineProcess, webhook: Webhook, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "c4nary-in-a-path"
    await tells(process, org.bo, webhook.url(secret) + "?+X-Key=c4nary-in-a-header")
    webhook.status = 500
    await org.gated()
    await round_of(process)
    assert webhook.calls[0].path == f"/{secret}", "the control: it was used"
    tables = await org.db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for table in tables:
        rows = await org.db.fetch(f"SELECT t::text FROM {table['tablename']} t")
        assert "c4nary" not in str(rows), table
    assert "c4nary" not in "".join(capfd.readouterr())
