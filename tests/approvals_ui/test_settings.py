"""Settings: channels for notices on the page; and what the link in a notice does, which is to open a page."""

import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from definitions.notices import EVENTS
from definitions.permissions import SYSTEM
from flows.notices import round_of
from flows.process import EngineProcess
from flows.settings import EngineSettings
from store import approvals, notice_channels, users
from store.connection import Database
from store.sealing import KEY_BYTES, SealingKeys
from tests.approvals_ui.conftest import ORIGIN, Browser, Seed
from tests.live.sinks import Webhook

ADDRESS = "mailtos://ann:s3cret@mail.example.org?to=ann@example.org"
FORM: dict[str, Any] = {"name": "phone", "url": ADDRESS, "event": list(EVENTS)}


@pytest.fixture(autouse=True)
def sealing(db: Database) -> None:
    db.keys = SealingKeys([b"k" * KEY_BYTES])


@pytest.fixture
async def vera(browser: Callable[[], Browser], people: dict[str, int]) -> Browser:
    opened = browser()
    await opened.enter("vera")
    return opened


async def add(person: Browser, **changes: Any) -> Any:
    return await person.post("/settings/notices", {**FORM, **changes}, await person.csrf("/settings"))


async def test_a_person_sets_up_tests_and_removes_a_channel_whose_address_is_not_shown_again(
    vera: Browser,
) -> None:
    assert (await add(vera)).status_code == 303
    shown = (await vera.get("/settings")).text
    assert "mail by TLS (mailtos://mail.example.org/***)" in shown
    assert "s3cret" not in shown
    found = re.search(r"/settings/notices/(\d+)/test", shown)
    assert found is not None
    for deed, then in (("test", "Opsgate: a test"), ("remove", "Nowhere yet")):
        answer = await vera.post(f"/settings/notices/{found[1]}/{deed}", {}, await vera.csrf("/settings"))
        assert answer.status_code == 303
        assert then in (await vera.get("/settings")).text


async def test_a_refusal_comes_back_with_what_was_filled_in_but_for_the_address(vera: Browser) -> None:
    answer = await add(vera, url="exec://s3cret", event=["approval.asked"])
    assert answer.status_code == 422
    assert "begins with no service" in answer.text
    assert "s3cret" not in answer.text
    assert 'value="phone"' in answer.text
    assert answer.text.count("checked") == 1


async def test_channels_of_roles_and_other_people_are_for_who_manages_people(
    vera: Browser, db: Database, browser: Callable[[], Browser], people: dict[str, int]
) -> None:
    assert (await add(vera, role="approver")).status_code == 403
    anna = await notice_channels.add(db, await users.actor_of(db, people["anna"]), "hers", ADDRESS)
    shown = (await vera.get("/settings")).text
    assert "hers" not in shown
    assert 'name="role"' not in shown
    for deed in ("test", "remove"):
        answer = await vera.post(f"/settings/notices/{anna.id}/{deed}", {}, await vera.csrf("/settings"))
        assert answer.status_code == 404
    await users.create(db, SYSTEM, "root", None, None, ["admin"])
    admin = browser()
    await admin.enter("root")
    assert (await add(admin, role="approver", name="room")).status_code == 303
    shown = (await admin.get("/settings")).text
    for part in ("role approver", "room", "hers"):
        assert part in shown


async def test_what_was_given_up_is_seen_and_tried_again(vera: Browser, db: Database) -> None:
    await add(vera)
    channel = await db.fetchval("SELECT id FROM notice_channels")
    await notice_channels.try_out(db, SYSTEM, channel)
    await db.execute("UPDATE notice_deliveries SET dead_at = now(), last_error = 'It is away.'")
    shown = (await vera.get("/settings")).text
    assert "given up" in shown
    assert "It is away." in shown
    found = re.search(r"/settings/deliveries/\d+/retry", shown)
    assert found is not None
    assert (await vera.post(found[0], {}, await vera.csrf("/settings"))).status_code == 303
    assert "given up" not in (await vera.get("/settings")).text


async def test_without_a_sealing_key_the_page_says_what_to_do(vera: Browser, db: Database) -> None:
    db.keys = None
    shown = (await vera.get("/settings")).text
    assert "OPSGATE_SEALING_KEY_FILE" in shown


async def test_the_link_in_a_notice_opens_the_page_and_decides_nothing(
    db: Database, browser: Callable[[], Browser], seed: Seed, people: dict[str, int], webhook: Webhook
) -> None:
    await notice_channels.add(db, await users.actor_of(db, people["anna"]), "a", webhook.url())
    seeded = await seed()
    settings = EngineSettings(
        database_url=db.dsn,
        prefect_api_url="http://127.0.0.1:1",
        public_url=ORIGIN,
        notice_networks=["127.0.0.0/8", "::1/128"],
    )
    await round_of(EngineProcess(settings, db, uuid4(), db))
    link = re.search(r"See it: (\S+)", webhook.calls[0].message)
    assert link is not None
    anna = browser()
    for _ in range(2):  # a scanner of mails, before anybody is signed in, then a person
        opened = await anna.get(link[1])
        request = await approvals.show(db, SYSTEM, seeded.request_id)
        assert (request.status, request.votes) == ("pending", [])
        await anna.enter("anna")
    assert opened.status_code == 200
    assert "Deploy release 7?" in opened.text
