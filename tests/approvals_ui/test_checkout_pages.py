"""What the pages show of a step that checks out: to who approves it, and to who follows the instance."""

from types import SimpleNamespace
from typing import Any

import pytest

from store import checkout_requests, checkouts
from store.checkouts import Wanted
from store.connection import Database
from tests.approvals_ui.conftest import Seeded
from tests.store.workflows.test_vaults_and_identities import save_identity, save_vault


@pytest.fixture
def resumes() -> list[dict[str, Any]]:
    """Who has had the instance go on."""
    return []


@pytest.fixture
async def asked(seed: Any, db: Database, resumes: list[dict[str, Any]]) -> tuple[Seeded, int]:
    """The instance's third step wants the identity db_admin, which takes an approver's yes; its request."""
    seeded: Seeded = await seed()
    traces = [{**each, "by_id": seeded.people[each["by"]]} for each in resumes]
    await db.execute("UPDATE instances SET resumes = $1", traces)
    org = SimpleNamespace(db=db)
    await save_vault(org)
    approval = {"approvers": ["role:approver"], "timeout_minutes": 30}
    await save_identity(org, requires_approval=True, approval=approval, domain="corp", username="app<b>")
    wanted = Wanted(seeded.instance_id, "deploy", 1, "db_admin", reason="upkeep")
    async with db.transaction() as tx:
        checkout = await checkouts.request(tx, wanted)
        request = await checkout_requests.ask(tx, checkout, wanted)
        await tx.execute(
            """INSERT INTO step_results (instance_id, step_id, visit, kind, name, status)
               VALUES ($1, 'deploy', 1, 'pam_checkout', 'Get in', 'waiting')""",
            seeded.instance_id,
        )
    return seeded, request


async def test_who_approves_sees_whose_credential_it_is_and_for_how_long(
    browser: Any, asked: tuple[Seeded, int]
) -> None:
    anna = browser()
    await anna.enter("anna")
    shown = (await anna.get(f"/approvals/{asked[1]}")).text
    assert "<h1>Check out db_admin</h1>" in shown
    assert "version 1: database of app&lt;b&gt; in corp, for 60 minutes at most" in shown
    voted = await anna.vote(asked[1], "approve")
    assert voted.status_code == 303


async def test_who_approves_what_a_resumed_instance_asks_for_again_sees_what_goes_on(
    browser: Any, asked: tuple[Seeded, int], db: Database
) -> None:
    anna = browser()
    await anna.enter("anna")
    goes_on = "The steps that run as db_admin go on"
    assert goes_on not in (await anna.get(f"/approvals/{asked[1]}")).text
    await db.execute(
        "UPDATE approval_requests SET frozen = (frozen::jsonb || $1::jsonb)::json", {"goes_on": ["deploy"]}
    )
    assert goes_on in (await anna.get(f"/approvals/{asked[1]}")).text


TRACE = {"at": "2030-01-01T00:00:00Z", "steps": ["deploy"], "visit": 1, "was": "failed", "reason": ""}


@pytest.mark.parametrize("resumes", [[], [{**TRACE, "by": "anna"}]])
async def test_who_approves_sees_who_resumed_the_instance(
    browser: Any, asked: tuple[Seeded, int], resumes: list[dict[str, Any]]
) -> None:
    bert = browser()
    await bert.enter("bert")
    shown = (await bert.get(f"/approvals/{asked[1]}")).text
    assert "<dt>Started by</dt><dd><strong>olga</strong>" in shown
    assert ("<dt>Resumed by</dt><dd><strong>anna</strong>" in shown) == bool(resumes)


async def test_the_instances_page_shows_what_a_step_asks_for_holds_and_held(
    browser: Any, asked: tuple[Seeded, int], db: Database
) -> None:
    seeded, request = asked
    vera, anna = browser(), browser()
    await vera.enter("vera")
    await anna.enter("anna")

    async def step() -> str:
        page = (await vera.get(f"/instances/{seeded.instance_id}")).text
        return page[page.index(">Get in</h3>") :]

    assert "Asks for <strong>db_admin</strong>" in await step()
    await anna.vote(request, "approve")
    assert "Holds <strong>db_admin</strong>" in await step()
    async with db.transaction() as tx:
        assert await checkouts.end_of_instance(tx, seeded.instance_id, "The instance is failed.") == 1
    assert "ended " in await step()
    assert "The instance is failed." in await step()
