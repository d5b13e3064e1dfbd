"""A decision is an artifact beside the instance's run, in Prefect and in both of its user interfaces."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from playwright.async_api import async_playwright, expect
from prefect.client.orchestration import PrefectClient

from definitions.errors import Unavailable
from deployments.stack.first_start import SECOND_PASSWORD, SECOND_PERSON
from flows import decisions
from store.engine.decisions import Decided
from tests.acceptance.conftest import GATE, LEDGER_INPUT, Ledger, note
from tests.approvals_ui.test_browser import CHROMIUM, FLAGS
from tests.live.stack import LiveStack, until

TITLE = "Deploy? | [Approve](https://evil.test) https://evil.test"


def artifacts(prefect: httpx2.Client, key: str) -> list[dict[str, Any]]:
    wanted = {"artifacts": {"key": {"any_": [key]}}}
    found: list[dict[str, Any]] = prefect.post("/artifacts/filter", json=wanted).raise_for_status().json()
    return found


def shown(live: LiveStack, ledger: Ledger) -> tuple[dict[str, Any], int, dict[str, Any]]:
    """An instance, its request that was approved, and the artifact of that."""
    live.publish({"name": "decided", "inputs": LEDGER_INPUT, "steps": [{**GATE, "title": TITLE}, note("b")]})
    number = live.launch("decided", ["host-1"], ledger=str(ledger.path))
    gate = live.gate(number)
    assert live.vote(gate).json()["status"] == "approved"
    with live.prefect() as prefect:
        until(lambda: artifacts(prefect, f"approval-{gate['id']}"), 60, "the artifact")
        (artifact,) = artifacts(prefect, f"approval-{gate['id']}")
    return live.ended(number), gate["id"], artifact


@pytest.mark.timeout(180)
async def test_it_stands_once_at_the_run_that_it_was_made_for(live: LiveStack, ledger: Ledger) -> None:
    instance, request, artifact = shown(live, ledger)
    assert artifact["flow_run_id"] == instance["flow_run_id"]
    assert "Approved: 1 of 1 said yes" in artifact["data"]
    assert f"{live.stack.url}/approvals/{request}" in artifact["data"]
    assert "by hand" not in artifact["data"], "the comment"
    known = Decided(
        request_id=request,
        title="",
        step_id="gate",
        workflow_name="decided",
        instance_id=instance["id"],
        instance_ended=False,
        flow_run_id=instance["flow_run_id"],
        status="approved",
        sentence="",
        decided_at=instance["ended_at"],
        votes=[],
    )
    auth = live.stack.prefect.auth_file.read_text(encoding="utf-8").strip()
    async with PrefectClient(live.stack.prefect.api_url, auth_string=auth) as client:
        await decisions.show(client, known, "")
        gone = replace(known, request_id=10**9, flow_run_id=uuid4())
        with pytest.raises(Unavailable, match="its next one is not there yet"):
            await decisions.show(client, gone, "")
        await decisions.show(client, replace(gone, instance_ended=True), "")
    with live.prefect() as prefect:
        assert artifacts(prefect, f"approval-{request}") == [artifact]
        assert artifacts(prefect, f"approval-{10**9}") == []


@pytest.mark.browser
@pytest.mark.timeout(300)
async def test_both_user_interfaces_show_it_and_link_to_nothing_but_our_page(
    live: LiveStack, ledger: Ledger
) -> None:
    _, request, artifact = shown(live, ledger)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = await browser.new_context()
        context.set_default_timeout(60_000)
        who = {"name": SECOND_PERSON, "password": live.folder.secret(SECOND_PASSWORD)}
        assert (await context.request.post(f"{live.stack.url}/api/v1/sessions", data=who)).ok
        page = await context.new_page()
        for place in ("/prefect/v2/artifacts/artifact/", "/prefect/artifacts/artifact/"):
            await page.goto(f"{live.stack.url}{place}{artifact['id']}")
            link = page.get_by_role("link", name=f"approval {request} in Opsgate")
            await expect(link).to_have_attribute("href", f"{live.stack.url}/approvals/{request}")
            await expect(page.get_by_role("cell", name=SECOND_PERSON)).to_be_visible()
            await expect(page.get_by_text("[Approve](https:").first).to_be_visible()
            assert await page.locator("a[href*='evil']").count() == 0
        await browser.close()
