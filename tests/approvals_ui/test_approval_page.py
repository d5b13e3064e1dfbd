"""The page people decide on."""

import html

import pytest

from tests.approvals_ui.conftest import GATED

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> {{7*7}} \u202eevil"


async def test_it_shows_what_is_asked(browser, seed):
    seeded = await seed()
    anna = browser()
    await anna.enter("anna")
    shown = (await anna.get(f"/approvals/{seeded.request_id}")).text
    for words in (
        "Deploy release 7?",
        "The disk has room.",
        "olga",
        "deploy-web",
        "web-1",
        "release 7",
        "90",
    ):
        assert words in shown
    assert "0 of 1, one more needed." in shown
    assert "59 min" in shown
    assert "anna, bert" in shown


async def test_it_shows_what_runs_if_approved_and_what_ran_before(browser, seed):
    seeded = await seed(stdout="disk at 41 %\n")
    anna = browser()
    await anna.enter("anna")
    shown = html.unescape((await anna.get(f"/approvals/{seeded.request_id}")).text)
    assert "Goes on with the step “Deploy”." in shown
    assert 'deploy <mark class="value" title="{{inputs.note}}">release 7</mark>' in shown
    assert "disk at 41 %" in shown


async def test_what_will_be_known_only_later_is_said_so(browser, seed):
    steps = [*GATED["steps"], {"id": "tell", "type": "command", "command": "tell {{step_deploy.stdout}}"}]
    seeded = await seed(steps=steps)
    anna = browser()
    await anna.enter("anna")
    shown = html.unescape((await anna.get(f"/approvals/{seeded.request_id}")).text)
    assert "known when <code>deploy</code> has run" in shown


async def test_a_change_since_the_last_yes_is_shown_as_a_diff(browser, seed, db):
    first = await seed()
    anna = browser()
    await anna.enter("anna")
    shown = (await anna.get(f"/approvals/{first.request_id}")).text
    assert "nothing to compare it with" in shown
    await anna.vote(first.request_id, "approve")
    second = await seed(steps=[*GATED["steps"][:2], {**GATED["steps"][2], "command": "deploy --all"}])
    shown = html.unescape((await anna.get(f"/approvals/{second.request_id}")).text)
    assert f"approval {first.request_id}</a> of instance #{first.instance_id}" in shown
    assert '<span class="removed">-deploy {{inputs.note}}\n</span>' in shown
    assert '<span class="added">+deploy --all\n</span>' in shown


async def test_a_vote_by_form_decides(browser, seed, db):
    seeded = await seed()
    anna = browser()
    await anna.enter("anna")
    response = await anna.vote(seeded.request_id, "approve", "looks good")
    assert (response.status_code, response.headers["location"]) == (303, f"/approvals/{seeded.request_id}")
    row = await db.fetchrow("SELECT status, user_id, decision, comment, via FROM votes, approval_requests")
    assert tuple(row) == ("approved", seeded.people["anna"], "approve", "looks good", "page")
    shown = (await anna.get(f"/approvals/{seeded.request_id}")).text
    assert "You approved this" in shown
    assert "looks good" in shown
    assert 'value="approve"' not in shown


async def test_a_refused_vote_shows_the_reason_and_keeps_the_comment(browser, seed):
    seeded = await seed()
    anna, bert = browser(), browser()
    await anna.enter("anna")
    await bert.enter("bert")
    path = f"/approvals/{seeded.request_id}"
    csrf, shown = await bert.csrf(path), (await bert.get(path)).text
    await anna.vote(seeded.request_id, "approve", "go")
    digest = shown.split('name="digest" value="')[1][:64]
    comment = "I read all of it,\nand </textarea> it is fine"
    fields = {"decision": "approve", "comment": comment, "digest": digest}
    response = await bert.post(f"{path}/vote", fields, csrf)
    assert response.status_code == 409
    assert 'role="alert"' in response.text
    assert html.escape(comment) in response.text
    assert "no longer open" in response.text


async def test_a_vote_on_something_else_than_was_seen_is_refused(browser, seed, db):
    seeded = await seed()
    anna = browser()
    await anna.enter("anna")
    response = await anna.vote(seeded.request_id, "approve", "typed", digest="0" * 64)
    assert response.status_code in (409, 422)
    assert "typed" in response.text
    assert await db.fetchval("SELECT count(*) FROM votes") == 0


async def test_whoever_lost_the_right_to_vote_is_told_and_keeps_the_comment(browser, seed, db):
    seeded = await seed()
    anna = browser()
    await anna.enter("anna")
    path = f"/approvals/{seeded.request_id}"
    csrf, shown = await anna.csrf(path), (await anna.get(path)).text
    await db.execute(
        """UPDATE user_roles SET role_id = (SELECT id FROM roles WHERE name = 'viewer') WHERE user_id = $1""",
        seeded.people["anna"],
    )
    fields = {
        "decision": "approve",
        "comment": "typed",
        "digest": shown.split('name="digest" value="')[1][:64],
    }
    response = await anna.post(f"{path}/vote", fields, csrf)
    assert response.status_code == 403
    assert "workflows.manage" in response.text
    assert "typed" in response.text


async def test_a_form_without_a_decision_decides_nothing(browser, seed, db):
    seeded = await seed()
    anna = browser()
    await anna.enter("anna")
    assert (await anna.vote(seeded.request_id, "maybe")).status_code == 422
    assert await db.fetchval("SELECT count(*) FROM votes") == 0


@pytest.mark.parametrize("csrf", ["", "guess"])
async def test_a_vote_without_the_csrf_token_is_a_403_page(browser, seed, db, csrf):
    seeded = await seed()
    anna = browser()
    await anna.enter("anna")
    response = await anna.post(f"/approvals/{seeded.request_id}/vote", {"decision": "approve"}, csrf)
    assert response.status_code == 403
    assert "<h1>Not permitted</h1>" in response.text
    assert await db.fetchval("SELECT count(*) FROM votes") == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_form_that_another_site_sends_is_refused(browser, seed, db, headers):
    seeded = await seed()
    anna = browser()
    await anna.enter("anna")
    path = f"/approvals/{seeded.request_id}"
    fields = {"decision": "approve", "csrf_token": await anna.csrf(path)}
    response = await anna.client.post(f"{path}/vote", data=fields, headers=headers)
    assert response.status_code == 403
    assert await db.fetchval("SELECT count(*) FROM votes") == 0


async def test_looking_never_decides(browser, seed, db):
    seeded = await seed()
    anna = browser()
    await anna.enter("anna")
    path = f"/approvals/{seeded.request_id}"
    await anna.get(path, params={"decision": "approve"})
    assert (await anna.get(f"{path}/vote", params={"decision": "approve"})).status_code == 405
    assert await db.fetchval("SELECT status FROM approval_requests") == "pending"
    assert await db.fetchval("SELECT count(*) FROM votes") == 0


async def test_whoever_started_it_sees_why_somebody_else_decides(browser, seed):
    seeded = await seed()
    olga = browser()
    await olga.enter("olga")
    shown = (await olga.get(f"/approvals/{seeded.request_id}")).text
    assert "somebody else has to decide" in shown
    assert 'value="approve"' not in shown


async def test_hostile_values_are_shown_and_do_nothing(browser, seed):
    seeded = await seed(note=HOSTILE, stdout=f"{HOSTILE}\x1b[2J\n")
    anna = browser()
    await anna.enter("anna")
    for path in (f"/approvals/{seeded.request_id}", f"/instances/{seeded.instance_id}", "/inbox"):
        shown = (await anna.get(path)).text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
        assert "<script>alert" not in shown
        assert "<img" not in shown
        assert "{{7*7}}" in shown
        assert "⟨U+202E⟩evil" in shown
        assert "\u202e" not in shown
        assert "\x1b" not in shown


async def test_a_request_that_is_not_there_is_a_404_page(browser, people):
    anna = browser()
    await anna.enter("anna")
    for path in ("/approvals/4711", "/approvals/x", "/instances/4711", "/workflows/4711", "/nowhere"):
        response = await anna.get(path)
        assert response.status_code == 404
        assert response.headers["content-type"].startswith("text/html")
