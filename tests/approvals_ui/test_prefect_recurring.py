"""A recurring job's switch and Run button in Prefect's dashboards: whose right they take, what is refused.

Prefect itself is out of reach here. The real server and its two user interfaces are in
tests/acceptance/test_recurring_in_prefect.py.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from store import recurring_jobs, users
from store.connection import Database
from store.engine import schedules
from tests.approvals_ui.conftest import ORIGIN

FROM_HERE = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}
DEPLOYMENT = uuid.UUID("0190163d-8694-739b-aea5-966c26f8ad90")
PLACE = f"/prefect/api/deployments/{DEPLOYMENT}"
SWITCH, RUN = f"{PLACE}/schedules/{DEPLOYMENT}", f"{PLACE}/create_flow_run"
JOB = {"type": "command", "hosts": ["web-1"], "payload": {"command": "true"}}
SCHEDULE = {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "day_or": False}
STANDS = "SELECT enabled, coalesce(disabled_by, '') FROM recurring_jobs"


@pytest.fixture
async def nightly(db: Database, people: dict[str, int], host_id: int) -> int:
    """A recurring job that Prefect has as a deployment."""
    olga = await users.actor_of(db, people["olga"])
    document = {"name": "nightly", "cron": SCHEDULE["cron"], "timezone": SCHEDULE["timezone"], "job": JOB}
    number = (await recurring_jobs.save(db, olga, document)).id
    await told(db)
    return number


async def told(db: Database) -> None:
    """As the keeper does when it has told Prefect."""
    for wanted in await schedules.outdated(db):
        await schedules.told(db, wanted, DEPLOYMENT)


@asynccontextmanager
async def telling(db: Database) -> AsyncIterator[None]:
    async def keep() -> None:
        while True:
            await told(db)
            await asyncio.sleep(0.01)

    keeper = asyncio.create_task(keep())
    yield
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)


async def at(browser: Any, name: str) -> httpx2.AsyncClient:
    someone = browser()
    await someone.enter(name)
    someone.client.headers.update(FROM_HERE)
    client: httpx2.AsyncClient = someone.client
    return client


def why(answer: httpx2.Response) -> str:
    assert answer.status_code == 409, answer.text
    sentence: str = answer.json()["detail"]
    return sentence


async def test_its_switch_disables_and_enables_it_as_the_person(db: Database, nightly: int, browser: Any):
    olga = await at(browser, "olga")
    whole = {"slug": None, "active": False, "schedule": SCHEDULE, "parameters": {}}
    async with telling(db):
        assert (await olga.patch(SWITCH, json=whole)).status_code == 204, "as the older pages send it"
        assert tuple(await db.fetchrow(STANDS)) == (False, "olga")
        assert await recurring_jobs.is_deployed(db, nightly)
        assert (await olga.patch(SWITCH, json={"active": True})).status_code == 204, "as the newer ones do"
        assert tuple(await db.fetchrow(STANDS)) == (True, "")


async def test_who_may_not_change_it_reads_why(db: Database, nightly: int, browser: Any):
    vera = await at(browser, "vera")
    for answer in (await vera.patch(SWITCH, json={"active": False}), await vera.post(RUN, json={})):
        assert "lacks the permission jobs.manage" in why(answer)
    assert tuple(await db.fetchrow(STANDS)) == (True, "")
    assert await db.fetchval("SELECT count(*) FROM ticks") == 0


async def test_a_request_from_another_site_changes_nothing(db: Database, nightly: int, browser: Any):
    olga = await at(browser, "olga")
    olga.headers["Sec-Fetch-Site"] = "cross-site"
    assert (await olga.patch(SWITCH, json={"active": False})).status_code == 403
    assert (await olga.post(RUN, json={})).status_code == 403
    assert tuple(await db.fetchrow(STANDS)) == (True, "")


@pytest.mark.parametrize(
    "body",
    [
        {"active": True, "schedule": {**SCHEDULE, "cron": "* * * * *"}},
        {"active": True, "schedule": {**SCHEDULE, "timezone": "UTC"}},
        {"active": True, "schedule": {"interval": 60}},
        {"active": True, "parameters": {"recurring_job_id": 2}},
        {"active": True, "slug": "other"},
        {"active": True, "max_scheduled_runs": 5},
        {"active": "yes"},
        {},
    ],
)
async def test_its_schedule_is_not_changed_there(nightly: int, browser: Any, body: dict[str, Any]):
    sentence = why(await (await at(browser, "olga")).patch(SWITCH, json=body))
    assert sentence == f"Its schedule is changed in Opsgate: {ORIGIN}/recurring/{nightly}."


async def test_one_that_has_stopped_says_why_it_can_not_be_switched_on(
    db: Database, nightly: int, browser: Any
):
    await db.execute("UPDATE recurring_jobs SET stopped = 'It has run once, which is its limit.'")
    sentence = why(await (await at(browser, "olga")).patch(SWITCH, json={"active": True}))
    assert sentence.startswith("It fires no more. It has run once, which is its limit. Change it in Opsgate:")


async def test_its_run_button_is_a_tick_by_hand_of_the_person_even_while_prefect_is_away(
    db: Database, nightly: int, browser: Any
):
    sentence = why(await (await at(browser, "olga")).post(RUN, json={"state": {"type": "SCHEDULED"}}))
    tick = await db.fetchrow("SELECT id, kind, outcome, fired_by_name FROM ticks")
    assert tuple(tick)[1:] == ("manual", "ran", "olga")
    assert sentence.startswith(f"It is tick {tick['id']} in Opsgate: {ORIGIN}/recurring/{nightly}. Prefect")
    assert await db.fetchval("SELECT count(*) FROM jobs") == 1


def later() -> str:
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()


async def test_it_is_run_now_and_as_it_is(db: Database, nightly: int, browser: Any):
    olga = await at(browser, "olga")
    for at_ in (later(), "tomorrow", 5):
        body = {"state": {"type": "SCHEDULED", "state_details": {"scheduled_time": at_}}}
        assert why(await olga.post(RUN, json=body)) == (
            "It can be run now, not later: its schedule does that."
        )
    other = {"parameters": {"recurring_job_id": nightly + 1}}
    assert why(await olga.post(RUN, json=other)).startswith("What it runs is changed in Opsgate:")
    assert "not what Prefect's pages send" in why(await olga.post(RUN, content=b"[" * 5000))
    assert await db.fetchval("SELECT count(*) FROM ticks") == 0


async def test_everything_else_of_it_is_refused_with_the_place_where_it_is_done(nightly: int, browser: Any):
    olga = await at(browser, "olga")
    for answer in (
        await olga.delete(PLACE),
        await olga.delete(SWITCH),
        await olga.patch(PLACE, json={"paused": True}),
        await olga.post(f"{RUN}/bulk", json=[{}]),
        await olga.post(f"{PLACE}/schedules", json=[{}]),
    ):
        assert f"{ORIGIN}/recurring/{nightly}" in why(answer)
    workflow = f"/prefect/api/deployments/{uuid.uuid4()}"
    assert "Start workflows in Opsgate" in why(await olga.post(f"{workflow}/create_flow_run", json={}))
    assert "Deployments follow" in why(
        await olga.patch(f"{workflow}/schedules/{DEPLOYMENT}", json={"active": True})
    )
