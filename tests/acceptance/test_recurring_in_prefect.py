"""A recurring job in both of Prefect's user interfaces: switched and run there by a signed-in person."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Locator, Page, async_playwright, expect

from deployments.stack.first_start import ADMIN, SECOND_PASSWORD, SECOND_PERSON
from tests.approvals_ui.test_browser import CHROMIUM, FLAGS
from tests.live.stack import LiveStack, until

JOB = {"type": "command", "hosts": ["host-1"], "payload": {"command": "true"}}


@pytest.fixture
async def page(live: LiveStack) -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = await browser.new_context(viewport={"width": 1300, "height": 900}, reduced_motion="reduce")
        context.set_default_timeout(60_000)
        expect.set_options(timeout=30_000)
        yield await context.new_page()
        await browser.close()


async def enter(live: LiveStack, page: Page, name: str, password: str | None) -> None:
    await page.context.clear_cookies()
    who = {"name": name, "password": password}
    answer = await page.context.request.post(f"{live.stack.url}/api/v1/sessions", data=who)
    assert answer.ok, await answer.text()


class Recurring:
    """What the store says of one, and Prefect."""

    def __init__(self, live: LiveStack, name: str) -> None:
        self.live = live
        self.path = f"/recurring-jobs/{name}"
        body = {"name": name, "cron": "0 0 1 1 *", "job": JOB}
        assert live.admin.post("/recurring-jobs", json=body).status_code == 201
        until(lambda: self.view()["deployment_id"], 90, "the deployment")
        self.deployment = self.view()["deployment_id"]

    def view(self) -> dict[str, Any]:
        found: dict[str, Any] = self.live.admin.get(self.path).raise_for_status().json()
        return found

    def ticks(self) -> list[tuple[str, str, str]]:
        found = self.live.admin.get(f"{self.path}/ticks").raise_for_status().json()["items"]
        return [(tick["kind"], tick["outcome"], tick["fired_by"]) for tick in found]

    def active_there(self) -> bool:
        with self.live.prefect() as prefect:
            (schedule,) = prefect.get(f"/deployments/{self.deployment}").json()["schedules"]
        active: bool = schedule["active"]
        return active


async def shows(switch: Locator, on: bool) -> None:
    """The older pages have a box of their own inside, which is not what they show."""
    await expect(switch).to_have_attribute("aria-checked", str(on).lower())


@pytest.mark.browser
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("place", "toast"),
    [
        ("/prefect/deployments/deployment/", ".p-toast__message"),
        ("/prefect/v2/deployments/deployment/", "[data-sonner-toast]"),
    ],
    ids=["older", "newer"],
)
async def test_its_switch_and_its_run_button_are_the_persons(
    live: LiveStack, page: Page, place: str, toast: str
) -> None:
    often = Recurring(live, f"yearly-{'v2' if 'v2' in place else 'v1'}")
    switch = page.get_by_role("switch")

    # Who may not change it reads why, and nothing happens.
    await enter(live, page, SECOND_PERSON, live.folder.secret(SECOND_PASSWORD))
    await page.goto(f"{live.stack.url}{place}{often.deployment}")
    await shows(switch, True)
    async with page.expect_response(lambda answer: "/schedules/" in answer.url) as answered:
        await switch.click()
    assert "lacks the permission jobs.manage" in (await (await answered.value).json())["detail"]
    if "v2" not in place:  # the newer one shows a refusal of this nowhere
        await expect(page.locator(toast).first).to_contain_text("lacks the permission jobs.manage")
    await shows(switch, True)
    assert often.view()["enabled"]

    # Off: disabled, by who did it, and the switch shows it. On again.
    await enter(live, page, ADMIN, live.stack.welcome.admin_password)
    for enabled in (False, True):
        await page.goto(f"{live.stack.url}{place}{often.deployment}")
        await shows(switch, not enabled)
        await switch.click()
        until(lambda: often.view()["enabled"] is enabled, 30, "the switch to count")  # noqa: B023
        await shows(switch, enabled)
        assert often.view()["disabled_by"] == (None if enabled else ADMIN)
        until(lambda: often.active_there() is enabled, 30, "Prefect to be told")  # noqa: B023

    # Run: one tick by hand, of that person, and a run that shows what came of it.
    await page.get_by_role("button", name="Run", exact=True).click()
    async with page.expect_response(lambda answer: "/create_flow_run" in answer.url) as answered:
        await page.get_by_text("Quick run").click()
    asked = await answered.value
    assert asked.status == 201, await asked.text()
    await expect(page.locator(toast).last).to_be_visible()
    assert often.ticks() == [("manual", "ran", ADMIN)]
    with live.prefect() as prefect:
        run = prefect.get(f"/flow_runs/{(await asked.json())['id']}").raise_for_status().json()
    assert (run["state_name"], run["deployment_id"]) == ("Ran", often.deployment)
    live.admin.delete(often.path).raise_for_status()
