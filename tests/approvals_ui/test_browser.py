"""The pages in a real browser: by keyboard alone, kept up to date, accessible."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, Route, async_playwright, expect

from approvals_ui.app import create_pages
from approvals_ui.changes import SETTLE_SECONDS
from approvals_ui.settings import PagesSettings
from store import approvals, users
from store.sealing import KEY_BYTES, SealingKeys
from tests.approvals_ui.conftest import GATED
from tests.approvals_ui.test_credential_pages import APPROVAL, look_after_credentials, make_checkout

pytestmark = pytest.mark.browser
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PASSWORD = "correct horse battery staple"
NO_VAULT = ("http://127.0.0.1:1", "env:NOTHING")
"""Of a vault that nobody asks."""


@pytest.fixture
async def site(db, events) -> AsyncIterator[str]:
    """The URL of the pages, served by a real server."""
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    app = create_pages(db, PagesSettings(public_url=url), events)
    config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield url
    finally:
        server.should_exit = True
        await running
        listening.close()


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """Debian's Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def page(chromium: Browser, site: str) -> AsyncIterator[Page]:
    """A window; whatever the browser complains of fails the test."""
    context = await chromium.new_context(reduced_motion="reduce")
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    yield page
    await context.close()
    assert [each for each in complaints if "ERR_" not in each and "status of 4" not in each] == []


async def sign_in(page: Page, site: str, name: str, path: str = "/") -> None:
    """Sign in by keyboard: the first field has the focus."""
    await page.goto(f"{site}{path}")
    await expect(page.locator("#name")).to_be_focused()
    await page.keyboard.type(name)
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await page.wait_for_url(lambda url: "/sign-in" not in url)


LABEL = "document.activeElement.labels?.[0]?.innerText || document.activeElement.innerText"


async def tab_to(page: Page, label: str) -> None:
    """Press Tab until the thing with this label has the focus."""
    for _ in range(40):
        await page.keyboard.press("Tab")
        said = await page.evaluate(
            "document.activeElement.labels?.[0]?.innerText || document.activeElement.innerText"
        )
        if (said or "").strip() == label:
            return
    raise AssertionError(f"Tab never reached {label!r}")


async def test_an_approval_is_found_and_decided_by_keyboard_alone(page, site, seed, db):
    await seed()
    await sign_in(page, site, "anna")
    await tab_to(page, "Deploy release 7?")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/approvals/*")
    await tab_to(page, "Comment")
    await page.keyboard.type("by keyboard")
    await tab_to(page, "Approve")
    await page.keyboard.press("Enter")
    await expect(page.locator("#standing .chip")).to_have_text("approved")
    await expect(page.locator("#votes")).to_contain_text("by keyboard")
    assert await db.fetchval("SELECT status FROM approval_requests") == "approved"


async def test_the_page_tells_that_somebody_else_decided_and_keeps_what_is_being_typed(page, site, seed, db):
    seeded = await seed()
    await sign_in(page, site, "anna", f"/approvals/{seeded.request_id}")
    await page.get_by_label("Comment").fill("half a sent")
    bert = await users.actor_of(db, seeded.people["bert"])
    view = await approvals.show(db, bert, seeded.request_id)
    await approvals.vote(db, bert, seeded.request_id, "approve", "mine", view.digest)
    await expect(page.locator("#standing .chip")).to_have_text("approved")
    await expect(page.locator("#votes")).to_contain_text("bert")
    await expect(page.locator("#decide")).to_contain_text("no longer open")
    await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    await expect(page.get_by_label("Comment")).to_have_value("half a sent")
    await expect(page.locator("#announced")).not_to_be_empty()


async def test_a_change_that_comes_while_the_page_looks_again_is_not_missed(page, site, seed, db):
    seeded = await seed()
    looked, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(route: Route) -> None:
        if route.request.headers.get("hx-request") and not looked.is_set():
            answer = await route.fetch()
            looked.set()
            await go_on.wait()
            await route.fulfill(response=answer)
        else:
            await route.continue_()

    await page.route(f"**/approvals/{seeded.request_id}", slowly)
    await sign_in(page, site, "anna", f"/approvals/{seeded.request_id}")
    await asyncio.wait_for(looked.wait(), 10)
    bert = await users.actor_of(db, seeded.people["bert"])
    view = await approvals.show(db, bert, seeded.request_id)
    await approvals.vote(db, bert, seeded.request_id, "approve", "mine", view.digest)
    await asyncio.sleep(SETTLE_SECONDS * 3)
    go_on.set()
    await expect(page.locator("#standing .chip")).to_have_text("approved")


async def test_a_comment_outlives_a_session_that_ends_meanwhile(page, site, seed, db):
    seeded = await seed()
    await sign_in(page, site, "anna", f"/approvals/{seeded.request_id}")
    await page.get_by_label("Comment").press_sequentially("long thought")
    await db.execute("DELETE FROM sessions")
    await page.get_by_role("button", name="Reject").click()
    await page.wait_for_url("**/sign-in?**")
    await sign_in(page, site, "anna", page.url.removeprefix(site))
    await expect(page.get_by_label("Comment")).to_have_value("long thought")
    assert await db.fetchval("SELECT count(*) FROM votes") == 0


async def test_an_instance_page_follows_its_steps(page, site, seed, db):
    seeded = await seed()
    await sign_in(page, site, "vera", f"/instances/{seeded.instance_id}")
    await expect(page.locator(".not-reached")).to_have_count(1)
    await page.locator("details", has_text="stdout").locator("summary").click()
    await db.execute(
        """INSERT INTO step_results (instance_id, step_id, visit, kind, name, status, reason)
           VALUES ($1, 'deploy', 1, 'command', 'Deploy', 'failed', 'It broke.')""",
        seeded.instance_id,
    )
    await db.execute("SELECT pg_notify('opsgate_events', $1)", f"instance:{seeded.instance_id}")
    await expect(page.locator(".step-failed")).to_contain_text("It broke.")
    await expect(page.locator(".not-reached")).to_have_count(0)
    assert await page.locator("details[id$=stdout]").get_attribute("open") is None, "was opened again"


async def test_the_inbox_fills_by_itself(page, site, seed, people):
    await sign_in(page, site, "anna")
    await expect(page.locator(".empty")).to_be_visible()
    await seed(note="just now")
    await expect(page.get_by_role("link", name="Deploy just now?")).to_be_visible()


async def test_every_view_of_the_inbox_is_reached_by_keyboard_alone(page, site, seed):
    await seed()
    await sign_in(page, site, "olga")
    await tab_to(page, "Started by you")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/inbox?view=started")
    await expect(page.get_by_role("link", name="Deploy release 7?")).to_be_visible()
    await tab_to(page, "Status")
    await page.keyboard.type("expired")
    await tab_to(page, "Show")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/inbox?view=started&status=expired")
    await expect(page.locator(".empty")).to_have_text("None is expired.")
    await tab_to(page, "All")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/inbox?view=all")


async def test_what_changed_is_read_before_deciding_by_keyboard_alone(page, site, seed, db):
    seeded = await seed_with_changes(seed, db)
    await sign_in(page, site, "anna", f"/approvals/{seeded.request_id}")
    await expect(page.locator("#plan .chip")).to_have_text(["changed", "new"])
    await page.locator("#plan pre.diff").first.focus()
    await expect(page.locator("#plan pre.diff").first).to_contain_text("+deploy --all")
    await tab_to(page, "Its settings have changed")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("region", name="Changes of the settings of Deploy")).to_be_visible()
    await expect(page.locator("#plan")).to_contain_text("known when deploy has run")


async def seed_with_changes(seed, db):
    """A second run, whose steps behind the gate are others than those that were approved last."""
    first = await seed()
    bert = await users.actor_of(db, first.people["bert"])
    view = await approvals.show(db, bert, first.request_id)
    await approvals.vote(db, bert, first.request_id, "approve", "", view.digest)
    look, gate, deploy = GATED["steps"]
    deploy = {**deploy, "command": "deploy --all", "timeout_seconds": 5}
    tell = {"id": "tell", "type": "command", "command": "tell {{step_deploy.stdout}}"}
    return await seed(steps=[look, gate, deploy, tell])


async def test_a_checkout_is_found_and_ended_by_keyboard_alone(page, site, seed, db):
    seeded = await seed()
    await look_after_credentials(db, seeded.people["anna"])
    await make_checkout(db, seeded.people, *NO_VAULT)
    await sign_in(page, site, "anna")
    await tab_to(page, "Credentials")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/credentials")
    await tab_to(page, "db_admin")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/credentials/checkouts/*")
    await tab_to(page, "Check in now")
    await page.keyboard.press("Enter")
    await expect(page.locator(".side .chip")).to_have_text("ended")
    await expect(page.locator("main")).to_contain_text("Ended by anna.")


OWN = "document.title='owned'"


async def test_hostile_text_runs_nothing(page, site, seed):
    seeded = await seed(note=f"<img src=x onerror={OWN}>", stdout=f"<script>{OWN}</script>")
    await sign_in(page, site, "anna", f"/approvals/{seeded.request_id}")
    for path in (f"/approvals/{seeded.request_id}", f"/instances/{seeded.instance_id}", "/inbox"):
        await page.goto(f"{site}{path}")
        await page.wait_for_timeout(200)
        assert await page.title() != "owned"
        assert await page.locator("main img, main script").count() == 0


PAGES = (
    "/inbox",
    "/inbox?view=all",
    "/approvals/1",
    "/approvals/2",
    "/instances",
    "/instances/1",
    "/instances/2",
    "/workflows",
    "/workflows/1",
    "/workflows/1/versions",
    "/recurring",
    "/credentials",
    "/credentials/checkouts/1",
    "/credentials/identities",
    "/credentials/identities/1",
    "/credentials/vaults",
    "/credentials/vaults/1",
    "/approvals/3",
    "/settings",
    "/nowhere",
)


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1200, "light")])
async def test_every_page_is_accessible_and_fits(chromium, site, seed, db, scheme, width):
    seeded = await seed_with_changes(seed, db)
    await end(db, 2)
    await look_after_credentials(db, seeded.people["anna"])
    await make_checkout(db, seeded.people, *NO_VAULT)
    await make_checkout(db, seeded.people, *NO_VAULT, **APPROVAL)
    db.keys = SealingKeys([bytes(KEY_BYTES)])
    context = await chromium.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce"
    )
    page = await context.new_page()
    await page.goto(f"{site}/sign-in")
    found = {"/sign-in": await serious(page)}
    await sign_in(page, site, "anna")
    for path in PAGES:
        await page.goto(f"{site}{path}")
        found[path] = await serious(page)
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{path} is {wide} wide"
    await context.close()
    assert {path: what for path, what in found.items() if what} == {}


async def end(db, instance: int) -> None:
    """An instance that was resumed and has failed: it shows all that there is to show."""
    trace = {
        "at": "2026-01-31T12:00:00+00:00",
        "by": "anna",
        "steps": ["gate"],
        "visit": 2,
        "was": "failed",
        "reason": "gate: rejected",
    }
    await db.execute(
        """UPDATE instances SET status = 'failed', ended_at = now(), reason = 'deploy: exit 3', rerun_of = 1,
               resumes = jsonb_build_array($2::jsonb), outputs = '{"ip": null, "n": 3}' WHERE id = $1""",
        instance,
        trace,
    )


async def serious(page: Page) -> list[str]:
    """What axe finds on a page that is serious or critical."""
    result = (await Axe().run(page)).response
    assert len(result["passes"]) > 5
    return [
        f"{each['id']}: {node['html'][:120]}"
        for each in result["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
