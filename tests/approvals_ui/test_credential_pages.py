"""Credentials on pages: who holds what, ending that, rotating, trying a vault; for who may see it alone."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from definitions.identity import parse_identity
from definitions.permissions import SYSTEM
from definitions.script import Script
from definitions.vault import parse_vault
from store import executions, scripts, users
from store.connection import Database
from store.identities import IDENTITIES
from store.vaults import VAULTS
from tests.live.vault import LiveVault

APPROVAL = {"requires_approval": True, "approval": {"approvers": ["role:approver"]}}
RunAs = Callable[..., Awaitable[int]]


async def make_checkout(
    db: Database, people: dict[str, int], address: str, secret_id: str, **identity: Any
) -> int:
    """A vault `main`, an identity `db_admin` in it, and a script that olga has run as that; the number of the
    checkout. `identity` changes the identity."""
    auth = {"method": "approle", "role_id": "opsgate", "secret_id": secret_id}
    vault, problems = parse_vault({"name": "main", "address": address, "auth": auth})
    assert vault is not None, problems
    await VAULTS.put(db, SYSTEM, vault)
    document = {"name": "db_admin", "vault": "main", "source": "database_static", "path": "database/pages"}
    made, problems = parse_identity({**document, "username": "pages", **identity})
    assert made is not None, problems
    await IDENTITIES.put(db, SYSTEM, made)
    script = Script(name="tidy", language="bash", content="psql -c vacuum", run_as="db_admin")
    await scripts.put(db, SYSTEM, script)
    olga = await users.actor_of(db, people["olga"])
    ran = await executions.execute(db, olga, "tidy", ["web-1"], {}, "Ticket <7>.")
    assert ran.checkout is not None
    return ran.checkout


async def look_after_credentials(db: Database, person: int) -> None:
    """Make somebody an administrator too."""
    await db.execute(
        "INSERT INTO user_roles (user_id, role_id) SELECT $1, id FROM roles WHERE name = 'admin'", person
    )


@pytest.fixture
def run_as(db: Database, vault: LiveVault, people: dict[str, int], host_id: int) -> RunAs:
    """The same with the real vault."""
    return partial(make_checkout, db, people, vault.bao.address, f"file:{vault.bao.secret_id_file}")


@pytest.fixture
async def keeper(db: Database, people: dict[str, int]) -> None:
    """anna looks after credentials."""
    await look_after_credentials(db, people["anna"])


async def test_who_holds_what_is_found_and_ended(browser, run_as: RunAs, keeper, db):
    checkout = await run_as()
    anna = browser()
    await anna.enter("anna")
    held = (await anna.get("/credentials/identities")).text
    assert "held by olga" in held
    page = f"/credentials/checkouts/{checkout}"
    assert page in (await anna.get("/credentials?status=active&identity=db_admin")).text
    assert "No checkout is so." in (await anna.get("/credentials?status=denied")).text
    shown = (await anna.get(page)).text
    for words in ("Ticket &lt;7&gt;.", "of execution 1", "60 minutes at most", "Check in now"):
        assert words in shown, words
    ended = await anna.post(f"{page}/checkin", {}, await anna.csrf(page))
    assert (ended.status_code, ended.headers["location"]) == (303, page)
    assert await db.fetchval("SELECT end_reason FROM checkouts") == "Ended by anna."
    shown = (await anna.get(page)).text
    assert "Ended by anna." in shown
    assert "Check in now" not in shown
    again = await anna.post(f"{page}/checkin", {}, await anna.csrf(page))
    assert (again.status_code, "has ended already" in again.text) == (409, True)


async def test_the_trail_says_who_did_what_when(browser, run_as: RunAs, keeper):
    checkout = await run_as()
    anna = browser()
    await anna.enter("anna")
    page = f"/credentials/checkouts/{checkout}"
    await anna.post(f"{page}/checkin", {}, await anna.csrf(page))
    trail = (await anna.get(page)).text.split('id="trail"')[1]
    places = [trail.index(words) for words in ("asked for", "checked out", "checked in</strong>: Ended by")]
    assert places == sorted(places)


async def test_a_vault_is_tried_out_and_an_identity_rotated(browser, run_as: RunAs, keeper, vault, db):
    await vault.static_role("pages")
    await run_as()
    anna = browser()
    await anna.enter("anna")
    page = "/credentials/vaults/main"
    assert "/credentials/identities/db_admin" in (await anna.get(page)).text
    tried = await anna.post(f"{page}/test", {}, await anna.csrf(page))
    assert "knows Opsgate, with the policies: opsgate" in tried.text
    page = "/credentials/identities/db_admin"
    held = await anna.post(f"{page}/rotate", {}, await anna.csrf(page))
    assert (held.status_code, "is checked out" in held.text) == (409, True)
    await db.execute("UPDATE checkouts SET status = 'ended', ended_at = now()")
    done = await anna.post(f"{page}/rotate", {}, await anna.csrf(page))
    assert (done.status_code, "has a new password" in done.text) == (200, True)


async def test_who_may_only_look_changes_nothing_and_others_see_nothing(browser, run_as: RunAs, db):
    checkout = await run_as()
    vera = browser()
    await vera.enter("vera")
    assert (await vera.get("/credentials")).status_code == 403
    assert 'href="/credentials"' not in (await vera.get("/workflows")).text
    await db.execute(
        "UPDATE roles SET permissions = permissions || '{pam_vaults.view}' WHERE name = 'viewer'"
    )
    assert 'href="/credentials"' in (await vera.get("/workflows")).text
    for path, words in (
        (f"checkouts/{checkout}", "Check in now"),
        ("identities/db_admin", "Rotate now"),
        ("vaults/main", "Test the connection"),
    ):
        response = await vera.get(f"/credentials/{path}")
        assert (response.status_code, words in response.text) == (200, False)
    csrf = await vera.csrf("/credentials")
    refused = await vera.post(f"/credentials/checkouts/{checkout}/checkin", {}, csrf)
    assert refused.status_code == 403
    assert await db.fetchval("SELECT status FROM checkouts") == "active"


async def test_a_run_that_waits_for_its_identity_is_decided_on_the_page(browser, run_as: RunAs, db):
    await run_as(**APPROVAL)
    request = await db.fetchval("SELECT id FROM approval_requests")
    bert = browser()
    await bert.enter("bert")
    assert "as db_admin" in (await bert.get("/inbox")).text
    shown = (await bert.get(f"/approvals/{request}")).text
    for words in (
        "Run tidy as db_admin",
        "Ticket &lt;7&gt;.",
        "The script runs as db_admin",
        "psql -c vacuum",
    ):
        assert words in shown, words
    assert (await bert.vote(request, "approve")).status_code == 303
    assert await db.fetchval("SELECT status FROM checkouts") == "active"
