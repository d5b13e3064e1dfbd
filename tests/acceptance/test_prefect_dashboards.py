"""Prefect's dashboards through our sign-in: every route of the real server, and both user interfaces in
Chromium, as people who may decide and people who may not."""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import pytest
from playwright.async_api import Browser, Locator, Page, async_playwright, expect

from agent_api.authentication import COOKIE
from deployments.stack.first_start import ADMIN, SECOND_PASSWORD, SECOND_PERSON
from tests.acceptance.conftest import GATE, LEDGER_INPUT, Ledger, note
from tests.approvals_ui.test_browser import CHROMIUM, FLAGS
from tests.live.stack import LiveStack, until

PASSWORD = "correct horse battery staple"
CANARY = "canary-7c1e"
READ = """
GET /health /admin/version /artifacts/{id} /artifacts/{key}/latest /automations/{id}
GET /automations/related-to/{resource_id} /concurrency_limits/{id} /deployments/{id} /flow_runs/{id}
GET /events/filter/next
GET /flow_runs/{id}/graph-v2 /flow_runs/{id}/input/{key} /flow_runs/{id}/logs/download /flows/{id}
GET /task_runs/{id} /ui/task_runs/{id} /v2/concurrency_limits/{id_or_name} /work_pools/{name}
GET /work_pools/{work_pool_name}/queues/{name} /work_queues/{id}
POST /artifacts/count /artifacts/filter /artifacts/latest/count /artifacts/latest/filter /automations/count
POST /automations/filter /concurrency_limits/filter /v2/concurrency_limits/filter /deployments/count
POST /deployments/filter /deployments/paginate /events/count-by/{countable} /events/filter /flow_runs/count
POST /flow_runs/filter /flow_runs/history /flow_runs/lateness /flow_runs/paginate /flows/count /flows/filter
POST /flows/paginate /logs/filter /saved_searches/filter /task_runs/count /task_runs/filter
POST /task_runs/history /task_runs/paginate /ui/flow_runs/count-task-runs /ui/flow_runs/history
POST /ui/flows/count-deployments /ui/flows/next-runs /ui/task_runs/count /ui/task_runs/dashboard/counts
POST /work_pools/count /work_pools/filter /work_pools/{work_pool_name}/queues/filter
POST /work_pools/{work_pool_name}/workers/filter /work_queues/filter
"""
"""Routes that Prefect answers."""
OURS = """
GET /admin/settings /admin/storage /block_capabilities/
POST /block_documents/filter /block_documents/count /block_types/filter /block_schemas/filter
POST /variables/filter /variables/count /ui/schemas/validate /flow_runs/{id}/resume
"""
"""Routes that we answer in its place. All others are refused."""


def listed(table: str) -> set[tuple[str, str]]:
    return {(line.split()[0], path) for line in table.split("\n") if line for path in line.split()[1:]}


def signed_in(live: LiveStack, name: str, password: str) -> httpx2.Client:
    """A browser's session, and what a browser says of a request that a page of ours makes."""
    client = httpx2.Client(base_url=live.stack.url, timeout=60)
    assert client.post("/api/v1/sessions", json={"name": name, "password": password}).status_code == 201
    client.headers.update({"Origin": live.stack.url, "Sec-Fetch-Site": "same-origin"})
    return client


@pytest.fixture(scope="module")
def sessions(live: LiveStack) -> Iterator[dict[str, httpx2.Client]]:
    """Admin, who starts things; bob and carl, who approve; vera, who only looks."""
    for name, role in (("carl", "approver"), ("vera", "viewer")):
        made = live.admin.post("/users", json={"name": name, "password": PASSWORD, "roles": [role]})
        assert made.status_code == 201, made.text
    assert live.stack.welcome.admin_password is not None
    passwords = {
        ADMIN: live.stack.welcome.admin_password,
        SECOND_PERSON: live.folder.secret(SECOND_PASSWORD) or "",
        "carl": PASSWORD,
        "vera": PASSWORD,
    }
    clients = {name: signed_in(live, name, password) for name, password in passwords.items()}
    yield clients
    for client in clients.values():
        client.close()


@pytest.fixture(scope="module")
def two(live: LiveStack, sessions: dict[str, httpx2.Client]) -> LiveStack:
    """A workflow whose gate takes two people, of whom there are enough by now."""
    two = {"approvers": ["role:approver"], "approval_type": "two_of_many"}
    gate = {**GATE, "title": "Deploy release 7?", **two}
    live.publish({"name": "two", "inputs": LEDGER_INPUT, "steps": [note("a"), gate, note("b")]})
    return live


def suspended(live: LiveStack, ledger: Ledger) -> tuple[int, str, int]:
    """An instance at its gate whose flow run Prefect shows as suspended; its number, run and request."""
    number = live.launch("two", ["host-1"], ledger=str(ledger.path))
    gate: int = live.gate(number)["id"]
    run: str = live.instance(number)["flow_run_id"]
    with live.prefect() as prefect:
        until(lambda: state(prefect, run) == "PAUSED", 60, "Prefect's run to be suspended")
    return number, run, gate


def state(prefect: httpx2.Client, run: str) -> Any:
    return prefect.get(f"/flow_runs/{run}").json()["state"]["type"]


# -- every route ----------------------------------------------------------------------------------
def routes(live: LiveStack) -> set[tuple[str, str]]:
    with live.prefect() as prefect:
        paths = prefect.get(f"{live.stack.prefect.url}/openapi.json").json()["paths"]
    return {(method.upper(), path) for path, methods in paths.items() for method in methods}


def filled(live: LiveStack, run: str) -> Callable[[str], str]:
    """Fills in the parts of a route, with things that exist where they can."""
    with live.prefect() as prefect:
        known = prefect.get(f"/flow_runs/{run}").json()
        tasks: list[dict[str, Any]] = []
        # Prefect writes them a little later.
        until(
            lambda: tasks.extend(prefect.post("/task_runs/filter", json={}).json()) or tasks, 60, "a task run"
        )
        task = tasks[0]["id"]
    by_kind = {"flows": known["flow_id"], "deployments": known["deployment_id"], "task_runs": task}
    names = {"countable": "day", "key": "suspended-park-1-schema"}

    def fill(route: str) -> str:
        kind = route.removeprefix("/ui").split("/")[1]
        id_ = by_kind.get(kind, known["work_queue_id"] if kind == "work_queues" else run)
        path = re.sub(r"\{(id|schedule_id|lease_id)\}", id_, route)
        path = re.sub(r"\{(countable|key)\}", lambda part: names[part[1]], path)
        path = path.replace("/queues/{name}", "/queues/default")
        return re.sub(r"\{\w+\}", "opsgate", path)

    return fill


BODY = {
    "history_start": "2026-01-01T00:00:00Z",
    "history_end": "2026-01-02T00:00:00Z",
    "history_interval": 3600,
    "history_interval_seconds": 3600,
    "flow_run_ids": [],
    "flow_ids": [],
}


def test_every_route_is_a_read_that_answers_or_is_refused(
    two: LiveStack, sessions: dict[str, httpx2.Client], ledger: Ledger
) -> None:
    number, run, _ = suspended(two, ledger)
    fill, read, ours = filled(two, run), listed(READ), listed(OURS)
    every = routes(two)
    assert (read | ours) - every == set()
    assert len(every - read - ours) > 100
    with two.prefect() as prefect:
        before = everything(prefect)
        for method, route in sorted(every):
            body = {} if method in ("GET", "DELETE") else {"json": BODY}
            answer = sessions["vera"].request(method, f"/prefect/api{fill(route)}", **body)
            if (method, route) in read:
                direct = prefect.request(method, fill(route), **body)
                assert answer.status_code == direct.status_code < 500, (method, route, answer.text)
            elif (method, route) in ours:
                assert answer.status_code == 200, (method, route, answer.text)
            else:
                assert answer.status_code == (404 if method == "GET" else 409), (method, route)
                assert re.search("Opsgate|not shown here|Prefect's command line", answer.json()["detail"])
        assert everything(prefect) == before
    assert two.instance(number)["status"] == "paused"


def everything(prefect: httpx2.Client) -> dict[str, Any]:
    """What there is in Prefect that a write could change."""
    kinds = ("flows", "flow_runs", "deployments", "work_pools", "variables", "automations")
    found = {kind: prefect.post(f"/{kind}/filter", json={}).json() for kind in kinds}
    return {
        kind: sorted((row["id"], row.get("name"), row.get("state_id")) for row in rows)
        for kind, rows in found.items()
    }


def test_what_prefect_keeps_secret_is_not_shown(
    two: LiveStack, sessions: dict[str, httpx2.Client], ledger: Ledger
) -> None:
    _, run, _ = suspended(two, ledger)
    key = two.stack.prefect.auth_file.read_text(encoding="utf-8").strip()
    with two.prefect() as prefect:
        flow_run = prefect.get(f"/flow_runs/{run}").json()
        prefect.post("/variables/", json={"name": "canary", "value": CANARY}).raise_for_status()
        deployment = f"/deployments/{flow_run['deployment_id']}"
        secret = {"job_variables": {"env": {"TOKEN": CANARY}}}
        prefect.patch(deployment, json=secret).raise_for_status()
        assert CANARY in prefect.get(deployment).text, "the control: it is there"
        assert CANARY in prefect.post("/variables/filter", json={}).text
        acts = {"type": "run-deployment", "source": "selected", "deployment_id": flow_run["deployment_id"]}
        trigger = {"type": "event", "posture": "Reactive", "expect": ["never"], "threshold": 1, "within": 0}
        automation = {"name": "canary", "enabled": False, "trigger": trigger, "actions": [{**acts, **secret}]}
        prefect.post("/automations/", json=automation).raise_for_status()
        assert CANARY in prefect.post("/automations/filter", json={}).text
    fill, vera = filled(two, run), sessions["vera"]
    shown = [vera.get(path).text for path in ("/prefect/ui-settings", "/prefect/v2/", "/prefect/dashboard")]
    for method, route in sorted(routes(two)):
        if method in ("GET", "POST") and not route.endswith("/resume"):
            body = {"json": BODY} if method == "POST" else {}
            shown.append(vera.request(method, f"/prefect/api{fill(route)}", **body).text)
    assert any(flow_run["deployment_id"] in text for text in shown), "the control: the deployment is shown"
    for text in shown:
        assert CANARY not in text
        assert key.partition(":")[2] not in text
        assert str(two.folder.path) not in text


def test_pages_need_no_key_and_websockets_are_not_opened(
    two: LiveStack, sessions: dict[str, httpx2.Client]
) -> None:
    vera = sessions["vera"]
    assert vera.get("/prefect/ui-settings").json()["auth"] is None
    assert vera.get("/prefect/").headers["location"] == "/prefect/v2/"
    for path in ("/prefect/v2/runs", "/prefect/runs"):
        page = vera.get(path)
        assert "'unsafe-eval'" in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"
        script = re.search(r'src="(/prefect/[^"]+\.js)"', page.text)
        assert script is not None
        assert vera.get(script[1]).headers["content-type"].startswith("text/javascript")
    assert vera.get("/prefect/v2/assets/none.js").status_code == 404
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    upgrade["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    assert vera.get("/prefect/api/events/out", headers=upgrade).status_code in (403, 404)


# -- both user interfaces -------------------------------------------------------------------------
class V2:
    """Prefect's newer user interface."""

    toast = "[data-sonner-toast]"

    def __init__(self, page: Page) -> None:
        self.page = page

    @staticmethod
    def path(run: str) -> str:
        return f"/prefect/v2/runs/flow-run/{run}"

    async def open_dialog(self) -> Locator:
        await self.page.get_by_role("button", name="Open menu").click()
        await self.page.get_by_role("menuitem", name="Resume").click()
        return self.page.get_by_role("dialog")

    async def decide(self, decision: str, comment: str) -> None:
        dialog = await self.open_dialog()
        await dialog.get_by_role("button", name="Select Decision").click()
        await self.page.get_by_role("option", name=decision).click()
        await dialog.locator("textarea").fill(comment)
        await dialog.get_by_role("button", name="Resume").click()

    async def cancel(self) -> None:
        await self.page.get_by_role("button", name="Open menu").click()
        await self.page.get_by_role("menuitem", name="Cancel").click()
        await (
            self.page.get_by_role("dialog")
            .or_(self.page.get_by_role("alertdialog"))
            .get_by_role("button", name=re.compile("Cancel Flow Run|Cancel Run|Confirm", re.IGNORECASE))
            .click()
        )


class V1(V2):
    """The older one."""

    toast = ".p-toast__message"

    @staticmethod
    def path(run: str) -> str:
        return f"/prefect/runs/flow-run/{run}"

    async def open_dialog(self) -> Locator:
        await self.page.get_by_role("button", name="Resume").click()
        return self.page.locator(".p-modal__card")

    async def decide(self, decision: str, comment: str) -> None:
        dialog = await self.open_dialog()
        await dialog.locator(".p-select-button__control").nth(1).focus()
        await self.page.keyboard.press("ArrowDown")
        await self.page.locator(".p-select-option", has_text=decision).click()
        await dialog.locator("textarea").fill(comment)
        await dialog.get_by_role("button", name="Submit").click()

    async def cancel(self) -> None:
        await self.page.get_by_role("button", name="Cancel").click()
        await self.page.locator(".p-modal__card .p-button--destructive").click()


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest.mark.browser
@pytest.mark.timeout(300)
@pytest.mark.parametrize("ui", [V1, V2])
async def test_a_resume_in_prefects_own_dialog_is_a_vote(
    two: LiveStack,
    sessions: dict[str, httpx2.Client],
    ledger: Ledger,
    chromium: Browser,
    ui: type[V2],
) -> None:
    number, run, gate = suspended(two, ledger)
    context = await chromium.new_context(viewport={"width": 1300, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(60_000)

    async def try_as(name: str, act: Callable[[V2], Any], shown: str) -> None:
        cookie = sessions[name].cookies[COOKIE]
        await context.add_cookies([{"name": COOKIE, "value": cookie, "url": two.stack.url}])
        page = await context.new_page()
        await page.goto(f"{two.stack.url}{ui.path(run)}")
        await act(ui(page))
        await expect(page.locator(ui.toast).filter(has_text=shown).first).to_be_visible(timeout=60_000)
        await page.close()

    await try_as(ADMIN, lambda page: page.decide("approve", "mine"), "somebody else has to decide")
    await try_as("carl", lambda page: page.cancel(), "Cancel it in Opsgate")
    await try_as("carl", lambda page: page.decide("approve", "looks good"), "Your vote is counted")
    assert two.instance(number)["status"] == "paused"
    assert ledger.lines() == [f"{number} a"], "something behind the gate ran"
    await try_as(SECOND_PERSON, lambda page: page.decide("approve", "to me too"), "Flow run resumed")
    assert two.ended(number)["status"] == "completed"
    assert ledger.lines() == [f"{number} a", f"{number} b"]
    await context.close()
    votes = two.bob.get(f"/approvals/{gate}").json()["votes"]
    assert [(vote["name"], vote["comment"], vote["via"]) for vote in votes] == [
        ("carl", "looks good", "prefect"),
        ("bob", "to me too", "prefect"),
    ]
